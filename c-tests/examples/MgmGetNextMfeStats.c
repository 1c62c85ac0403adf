/* Reads all entries, in pieces: */
#include "example.h"

static void example(HANDLE me)
{
    static const BYTE packet[28] = PACKET; /* from 10.0.0.1 to 239.1.1.1 */
    static DWORD buffer[1024];
    MIB_IPMCAST_MFE last = {0}; /* before the first one */
    DWORD code, count, n, size;

    (void)me; /* no registration is needed to read */
    must(MgmHostReceive(1, 0, packet, sizeof packet)); /* an entry is made */
    do {
        PBYTE at = (PBYTE)buffer;
        size = sizeof buffer;
        code = MgmGetNextMfeStats(&last, &size, (PBYTE)buffer, &count, MGM_MFE_STATS_0);
        for (n = 0; n < count; n++) {
            PMIB_IPMCAST_MFE_STATS entry = (PMIB_IPMCAST_MFE_STATS)at;
            struct in_addr in = {entry->dwSource};
            printf("source %s\n", inet_ntoa(in));
            last.dwGroup = entry->dwGroup;
            last.dwSource = entry->dwSource;
            at += SIZEOF_MIB_MFE_STATS(entry->ulNumOutIf);
        }
    } while (code == ERROR_MORE_DATA);
}
/* prints
source 10.0.0.1
*/
