/* The first packet of a source makes its entry: */
#include "example.h"

static void example(HANDLE me)
{
    static const BYTE packet[28] = PACKET; /* from 10.0.0.1 to 239.1.1.1 */
    static DWORD buffer[1024];
    DWORD count, size = sizeof buffer;

    must(MgmAddGroupMembershipEntry(me, 0, 0, inet_addr("239.1.1.1"), 0xffffffff, 2, 0,
                                    MGM_JOIN_STATE_FLAG));
    must(MgmHostReceive(1, 0, packet, sizeof packet)); /* its callbacks have run */
    if (MgmGetFirstMfe(&size, (PBYTE)buffer, &count) == ERROR_NO_MORE_ITEMS)
        printf("%u entries\n", (unsigned)count);
}
/* prints
1 entries
*/
