/* What the examples of the manual have in common: a host on the memory forwarder, and on it a client that has taken the
 * interfaces 1 and 2. Each example is a program; tests/manual.rs compiles and runs all of them. */
#include <arpa/inet.h>
#include <mgm_host.h>
#include <stdio.h>
#include <stdlib.h>

static void example(HANDLE me);

static void must(DWORD code)
{
    if (code != NO_ERROR) {
        fprintf(stderr, "a call gave %u\n", (unsigned)code);
        exit(1);
    }
}

/* IPv4 from 10.0.0.1 to 239.1.1.1: 28 octets, TTL 16, UDP. */
#define PACKET {0x45, 0, 0, 28, 0, 0, 0, 0, 16, 17, 0xb0, 0xce, 10, 0, 0, 1, 239, 1, 1, 1}

int main(void)
{
    HANDLE me = NULL;
#ifndef STARTS_BY_ITSELF
    MGM_HOST_CONFIG host = {0};
    ROUTING_PROTOCOL_CONFIG config = {0};

    host.dwSize = sizeof host;
    must(MgmHostStart(&host));
    must(MgmRegisterMProtocol(&config, PROTOCOL_ID(PROTO_TYPE_MCAST, 0x3fff, 7), 1, &me));
    must(MgmTakeInterfaceOwnership(me, 1, 0));
    must(MgmTakeInterfaceOwnership(me, 2, 0));
#endif
    example(me);
    return MgmHostStop() == NO_ERROR ? 0 : 1;
}
