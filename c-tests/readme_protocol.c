/* A complete multicast routing protocol: packets of one group go to one interface.
 *
 *     protocol GROUP OUT-INTERFACE IN-INTERFACE...
 *
 * The end of its input ends it. */
#include <arpa/inet.h>
#include <mgm.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>

static void must(DWORD code, const char *call)
{
    if (code != NO_ERROR) {
        fprintf(stderr, "%s gave %u\n", call, (unsigned)code); /* the log says why */
        exit(1);
    }
}

static const char *text(DWORD address)
{
    struct in_addr in;
    in.s_addr = address; /* network byte order, like every address in mgm.h */
    return inet_ntoa(in);
}

/* A new source: from which interface are its packets to be accepted? *index is the one that the
 * unicast route leads to, which is what most protocols want. */
static DWORD rpf(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, PDWORD index,
                 PDWORD next_hop, PDWORD upstream, DWORD header_size, PBYTE header, PBYTE route)
{
    (void)source_mask, (void)group, (void)group_mask, (void)next_hop, (void)upstream;
    (void)header_size, (void)header, (void)route;
    printf("new source %s, from interface %u\n", text(source), (unsigned)*index);
    fflush(stdout);
    return NO_ERROR; /* what a callback returns is ignored */
}

/* Nobody wants the packets of this source any more: a real protocol would now send a prune to its
 * upstream neighbour. */
static DWORD prune(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, DWORD index,
                   DWORD next_hop, BOOL member_delete, PDWORD timeout)
{
    (void)source_mask, (void)group, (void)group_mask, (void)index, (void)next_hop;
    if (!member_delete) {
        printf("no receivers for source %s\n", text(source));
        *timeout = 60; /* seconds until its next packet asks again */
    }
    return NO_ERROR;
}

/* The forwarding table, in pieces of whatever size. */
static void print_entries(void)
{
    static DWORD buffer[1024];
    MIB_IPMCAST_MFE last = {0};
    DWORD count, n, size = sizeof buffer;
    DWORD code = MgmGetFirstMfeStats(&size, (PBYTE)buffer, &count, MGM_MFE_STATS_0);

    while (code == ERROR_MORE_DATA || code == ERROR_NO_MORE_ITEMS) {
        PBYTE at = (PBYTE)buffer;
        for (n = 0; n < count; n++) {
            PMIB_IPMCAST_MFE_STATS entry = (PMIB_IPMCAST_MFE_STATS)at;
            printf("source %s", text(entry->dwSource));
            printf(" group %s: %u packets to %u interfaces\n", text(entry->dwGroup),
                   (unsigned)entry->ulInPkts, (unsigned)entry->ulNumOutIf);
            last.dwGroup = entry->dwGroup;
            last.dwSource = entry->dwSource;
            at += SIZEOF_MIB_MFE_STATS(entry->ulNumOutIf); /* each record has its own length */
        }
        if (code == ERROR_NO_MORE_ITEMS)
            return;
        size = sizeof buffer;
        code = MgmGetNextMfeStats(&last, &size, (PBYTE)buffer, &count, MGM_MFE_STATS_0);
    }
    must(code, "MgmGetFirstMfeStats");
}

int main(int argc, char **argv)
{
    ROUTING_PROTOCOL_CONFIG config = {0}; /* callbacks that stay NULL are skipped */
    HANDLE me;
    DWORD group;
    int n;

    if (argc < 4) {
        fprintf(stderr, "usage: protocol GROUP OUT-INTERFACE IN-INTERFACE...\n");
        return 2;
    }
    group = inet_addr(argv[1]);
    config.pfnRpfCallback = rpf;
    config.pfnPruneAlertCallback = prune;
    must(MgmRegisterMProtocol(&config, PROTOCOL_ID(PROTO_TYPE_MCAST, 0x3fff, 7), 1, &me),
         "MgmRegisterMProtocol");
    for (n = 2; n < argc; n++)
        must(MgmTakeInterfaceOwnership(me, if_nametoindex(argv[n]), 0), argv[n]);
    /* (*,G): any source, so source and source mask are 0. */
    must(MgmAddGroupMembershipEntry(me, 0, 0, group, 0xffffffff, if_nametoindex(argv[2]), 0,
                                    MGM_JOIN_STATE_FLAG), "MgmAddGroupMembershipEntry");

    while (getchar() != EOF) {
    }
    print_entries();

    for (n = 2; n < argc; n++) /* its memberships go with each interface */
        must(MgmReleaseInterfaceOwnership(me, if_nametoindex(argv[n]), 0), argv[n]);
    must(MgmDeRegisterMProtocol(me), "MgmDeRegisterMProtocol");
    return 0;
}
