/* Reads the first entries, as many as fit: */
#include "example.h"

static void example(HANDLE me)
{
    static const BYTE packet[28] = PACKET; /* from 10.0.0.1 to 239.1.1.1 */
    static DWORD buffer[1024];
    DWORD count, n, size = sizeof buffer;
    PBYTE at = (PBYTE)buffer;
    DWORD code;

    (void)me; /* no registration is needed to read */
    must(MgmHostReceive(1, 0, packet, sizeof packet)); /* an entry is made */
    code = MgmGetFirstMfe(&size, (PBYTE)buffer, &count);
    for (n = 0; n < count; n++) {
        PMIB_IPMCAST_MFE entry = (PMIB_IPMCAST_MFE)at;
        struct in_addr in = {entry->dwSource};
        printf("source %s\n", inet_ntoa(in));
        at += SIZEOF_MIB_MFE(entry->ulNumOutIf); /* each record has its own length */
    }
    printf("%s\n", code == ERROR_MORE_DATA ? "and more" : "that is all");
}
/* prints
source 10.0.0.1
that is all
*/
