/* Reads one entry, of whatever length: */
#include "example.h"

static void example(HANDLE me)
{
    static const BYTE packet[28] = PACKET; /* from 10.0.0.1 to 239.1.1.1 */
    MIB_IPMCAST_MFE which = {0};
    PMIB_IPMCAST_MFE entry;
    DWORD size = 0;

    must(MgmAddGroupMembershipEntry(me, 0, 0, inet_addr("239.1.1.1"), 0xffffffff, 2, 0,
                                    MGM_JOIN_STATE_FLAG));
    must(MgmHostReceive(1, 0, packet, sizeof packet)); /* the entry is made */
    which.dwSource = inet_addr("10.0.0.1");
    which.dwGroup = inet_addr("239.1.1.1");
    if (MgmGetMfe(&which, &size, NULL) != ERROR_INSUFFICIENT_BUFFER)
        exit(1);
    entry = (PMIB_IPMCAST_MFE)malloc(size); /* as many octets as it needs now */
    if (entry == NULL)
        exit(1);
    must(MgmGetMfe(&which, &size, (PBYTE)entry));
    printf("%u outgoing interfaces\n", (unsigned)entry->ulNumOutIf);
    free(entry);
}
/* prints
1 outgoing interfaces
*/
