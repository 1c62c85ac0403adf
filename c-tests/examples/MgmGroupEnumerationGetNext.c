/* Lists the groups that have members on some interface: */
#include "example.h"

static void example(HANDLE me)
{
    SOURCE_GROUP_ENTRY rows[16];
    DWORD code, count, n, size;
    HANDLE enumeration;

    must(MgmAddGroupMembershipEntry(me, 0, 0, inet_addr("239.1.1.1"), 0xffffffff, 2, 0,
                                    MGM_JOIN_STATE_FLAG));
    must(MgmGroupEnumerationStart(me, ANY_SOURCE, &enumeration));
    do {
        size = sizeof rows;
        code = MgmGroupEnumerationGetNext(enumeration, &size, (PBYTE)rows, &count);
        for (n = 0; n < count; n++) {
            struct in_addr in = {rows[n].dwGroupAddr};
            printf("%s\n", inet_ntoa(in));
        }
    } while (code == ERROR_MORE_DATA);
    must(MgmGroupEnumerationEnd(enumeration));
}
/* prints
239.1.1.1
*/
