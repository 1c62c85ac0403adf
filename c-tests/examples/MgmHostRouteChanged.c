/* The sources in 10.0.0.0/8 are behind another interface now; the host's route function says which. */
#define STARTS_BY_ITSELF
#include "example.h"

static DWORD toward; /* the interface */

static DWORD route(PVOID context, DWORD source, PMGM_ROUTE found)
{
    (void)context;
    found->dwIfIndex = toward;
    found->dwUpStreamNbr = source;
    found->dwRouteNetwork = inet_addr("10.0.0.0");
    found->dwRouteMask = inet_addr("255.0.0.0");
    return NO_ERROR;
}

static DWORD rpf(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, PDWORD index,
                 PDWORD next_hop, PDWORD upstream, DWORD header_size, PBYTE header, PBYTE pbRoute)
{
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)next_hop;
    (void)upstream, (void)header_size, (void)header, (void)pbRoute;
    printf("by interface %u\n", (unsigned)*index);
    return NO_ERROR;
}

static void example(HANDLE me)
{
    static const BYTE packet[28] = PACKET; /* from 10.0.0.1 to 239.1.1.1 */
    MGM_HOST_CONFIG host = {0};
    ROUTING_PROTOCOL_CONFIG config = {0};

    host.dwSize = sizeof host;
    host.pfnRoute = route;
    must(MgmHostStart(&host));
    config.pfnRpfCallback = rpf;
    must(MgmRegisterMProtocol(&config, PROTOCOL_ID(PROTO_TYPE_MCAST, 0x3fff, 7), 1, &me));
    must(MgmTakeInterfaceOwnership(me, 1, 0));
    must(MgmTakeInterfaceOwnership(me, 2, 0));
    toward = 1;
    must(MgmHostReceive(1, 0, packet, sizeof packet));
    toward = 2;
    must(MgmHostRouteChanged(inet_addr("10.0.0.0"), inet_addr("255.0.0.0")));
}
/* prints
by interface 1
by interface 2
*/
