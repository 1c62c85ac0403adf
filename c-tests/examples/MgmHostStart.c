/* A host on the memory forwarder that gets the copies of packets, and the lines of the log: */
#define STARTS_BY_ITSELF
#include "example.h"

static void transmit(PVOID context, DWORD index, DWORD next_hop, const BYTE *packet, DWORD size)
{
    (void)context, (void)next_hop, (void)packet;
    printf("%u octets leave interface %u\n", (unsigned)size, (unsigned)index);
}

static void log_line(PVOID context, DWORD level, const char *line)
{
    (void)context;
    if (level <= MGM_LOG_WARN)
        printf("log: %s\n", line);
}

static void example(HANDLE me)
{
    MGM_HOST_CONFIG host = {0}; /* zero stands for the default */

    host.dwSize = sizeof host;
    host.dwForwarder = MGM_FORWARDER_MEMORY;
    host.pfnTransmit = transmit;
    host.pfnLog = log_line;
    must(MgmHostStart(&host));
    if (MgmTakeInterfaceOwnership(me, 1, 0) == ERROR_INVALID_PARAMETER) /* me is NULL */
        printf("nobody has registered yet\n");
}
/* prints
log: MgmTakeInterfaceOwnership: ERROR_INVALID_PARAMETER: hProtocol = 0x0 is not the handle of a registered client
nobody has registered yet
*/
