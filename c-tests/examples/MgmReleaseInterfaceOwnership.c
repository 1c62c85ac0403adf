/* What the client has said about an interface goes with it: */
#include "example.h"

static void example(HANDLE me)
{
    DWORD group = inet_addr("239.1.1.1");

    must(MgmAddGroupMembershipEntry(me, 0, 0, group, 0xffffffff, 2, 0, MGM_JOIN_STATE_FLAG));
    must(MgmReleaseInterfaceOwnership(me, 2, 0));
    if (MgmDeleteGroupMembershipEntry(me, 0, 0, group, 0xffffffff, 2, 0, MGM_JOIN_STATE_FLAG) ==
        ERROR_NOT_FOUND)
        printf("nobody is on interface 2\n");
}
/* prints
nobody is on interface 2
*/
