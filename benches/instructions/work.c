/* The work whose instructions benches/instructions/run.sh counts, on the memory forwarder.

       work flows N     N new flows with three outgoing interfaces: a route function, an RPF and a creation
                        callback, a join alert for the client toward the source, three copies to pfnTransmit
       work pairs N     N times an add and a delete of a (*,G) membership, one alert each, over 1,000 others */
#include <mgm_host.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROTOCOL(n) PROTOCOL_ID(PROTO_TYPE_MCAST, 0x3fff, (n))
#define ONES 0xffffffffu

static void must(DWORD code, const char *what)
{
    if (code != NO_ERROR) {
        fprintf(stderr, "%s gave %u\n", what, (unsigned)code);
        exit(1);
    }
}
#define MUST(call) must(call, #call)

static DWORD route(PVOID context, DWORD source, PMGM_ROUTE to)
{
    (void)context;
    to->dwIfIndex = 1;
    to->dwUpStreamNbr = source;
    return NO_ERROR;
}

static void transmit(PVOID context, DWORD index, DWORD next_hop, const BYTE *packet, DWORD size)
{
    (void)context, (void)index, (void)next_hop, (void)packet, (void)size;
}

static DWORD rpf(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, PDWORD index, PDWORD next_hop,
                 PDWORD upstream, DWORD size, PBYTE packet, PBYTE route)
{
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)index, (void)next_hop, (void)upstream;
    (void)size, (void)packet, (void)route;
    return NO_ERROR;
}

static DWORD creation(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, DWORD index, DWORD next_hop,
                      DWORD count, PMGM_IF_ENTRY out)
{
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)index, (void)next_hop, (void)count;
    (void)out;
    return NO_ERROR;
}

static DWORD join(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, BOOL member)
{
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)member;
    return NO_ERROR;
}

static DWORD prune(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, DWORD index, DWORD next_hop,
                   BOOL member, PDWORD timeout)
{
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)index, (void)next_hop, (void)member;
    (void)timeout;
    return NO_ERROR;
}

static DWORD group(unsigned n)
{
    return htonl(0xE1000000u + n);
}

static void new_flow(unsigned n)
{
    BYTE packet[28] = {0x45, [3] = 28, [8] = 16, [9] = 17};
    DWORD source = htonl(0x0A000001u + n), to = group(1);
    memcpy(packet + 12, &source, sizeof source);
    memcpy(packet + 16, &to, sizeof to);
    MUST(MgmHostReceive(1, 0, packet, sizeof packet));
}

int main(int argc, char **argv)
{
    MGM_HOST_CONFIG host = {.dwSize = sizeof host, .pfnRoute = route, .pfnTransmit = transmit};
    ROUTING_PROTOCOL_CONFIG upstream = {0}, downstream = {0};
    HANDLE above, below;
    unsigned count = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;

    if (count == 0) {
        fprintf(stderr, "work flows|pairs N\n");
        return 2;
    }
    MUST(MgmHostStart(&host));
    upstream.pfnRpfCallback = rpf;
    upstream.pfnJoinAlertCallback = join;
    upstream.pfnPruneAlertCallback = prune;
    MUST(MgmRegisterMProtocol(&upstream, PROTOCOL(1), 1, &above));
    downstream.pfnCreationAlertCallback = creation;
    MUST(MgmRegisterMProtocol(&downstream, PROTOCOL(2), 1, &below));
    MUST(MgmTakeInterfaceOwnership(above, 1, 0));
    for (DWORD index = 2; index < 5; index++) {
        MUST(MgmTakeInterfaceOwnership(below, index, 0));
        MUST(MgmAddGroupMembershipEntry(below, 0, 0, group(1), ONES, index, 0, 1));
    }
    if (strcmp(argv[1], "flows") == 0) {
        for (unsigned n = 0; n < count; n++)
            new_flow(n);
    } else {
        for (unsigned n = 2; n < 1002; n++)
            MUST(MgmAddGroupMembershipEntry(below, 0, 0, group(n), ONES, 2, 0, 1));
        for (unsigned n = 0; n < count; n++) {
            DWORD to = group(1002 + n % 1000);
            MUST(MgmAddGroupMembershipEntry(below, 0, 0, to, ONES, 2, 0, 1));
            MUST(MgmDeleteGroupMembershipEntry(below, 0, 0, to, ONES, 2, 0, 1));
        }
    }
    return 0;
}
