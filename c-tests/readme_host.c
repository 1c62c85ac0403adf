/* A protocol and the packets it is tried with, all in one process and without a network. */
#include <arpa/inet.h>
#include <mgm_host.h>
#include <stdio.h>
#include <stdlib.h>

static void transmit(PVOID context, DWORD index, DWORD next_hop, const BYTE *packet, DWORD size)
{
    (void)context, (void)next_hop;
    printf("%u octets leave interface %u with TTL %u\n", (unsigned)size, (unsigned)index,
           packet[8]);
}

static void must(DWORD code, const char *call)
{
    if (code != NO_ERROR) {
        fprintf(stderr, "%s gave %u\n", call, (unsigned)code);
        exit(1);
    }
}

int main(void)
{
    /* IPv4 from 10.0.0.1 to 239.1.1.1: 28 octets, TTL 16, UDP. */
    static const BYTE packet[28] = {0x45, 0, 0, 28, 0, 0, 0, 0, 16, 17, 0xb0, 0xce,
                                    10, 0, 0, 1, 239, 1, 1, 1};
    MGM_HOST_CONFIG host = {0};
    ROUTING_PROTOCOL_CONFIG config = {0};
    HANDLE me;
    DWORD code, size = 0;
    char *state = NULL;

    host.dwSize = sizeof host;
    host.dwForwarder = MGM_FORWARDER_MEMORY;
    host.pfnTransmit = transmit;
    must(MgmHostStart(&host), "MgmHostStart"); /* before the first MgmRegisterMProtocol */
    must(MgmRegisterMProtocol(&config, PROTOCOL_ID(PROTO_TYPE_MCAST, 0x3fff, 7), 1, &me),
         "MgmRegisterMProtocol");
    must(MgmTakeInterfaceOwnership(me, 1, 0), "interface 1");
    must(MgmTakeInterfaceOwnership(me, 2, 0), "interface 2");
    must(MgmAddGroupMembershipEntry(me, 0, 0, inet_addr("239.1.1.1"), 0xffffffff, 2, 0,
                                    MGM_JOIN_STATE_FLAG), "MgmAddGroupMembershipEntry");

    /* When this returns, all that the packet caused has happened. */
    must(MgmHostReceive(1, 0, packet, sizeof packet), "MgmHostReceive");

    while ((code = MgmHostGetState(&size, (PBYTE)state)) == ERROR_INSUFFICIENT_BUFFER) {
        free(state);
        state = (char *)malloc(size += 1024); /* it may grow before the next call */
        if (state == NULL)
            return 1;
    }
    must(code, "MgmHostGetState");
    printf("%s\n", state);
    free(state);
    must(MgmHostStop(), "MgmHostStop"); /* the client is gone with it */
    return 0;
}
