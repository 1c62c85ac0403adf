/* The receivers on interface 2 have gone; deleting what is not there is no error. */
#include "example.h"

static void example(HANDLE me)
{
    DWORD group = inet_addr("239.1.1.1");

    must(MgmAddGroupMembershipEntry(me, 0, 0, group, 0xffffffff, 2, 0, MGM_JOIN_STATE_FLAG));
    must(MgmDeleteGroupMembershipEntry(me, 0, 0, group, 0xffffffff, 2, 0, MGM_JOIN_STATE_FLAG));
    must(MgmDeleteGroupMembershipEntry(me, 0, 0, group, 0xffffffff, 2, 0, MGM_JOIN_STATE_FLAG));
}
