/* Receivers on interface 2: of one source of 239.1.1.1, and of 239.2.2.2 from any source. */
#include "example.h"

static void example(HANDLE me)
{
    must(MgmAddGroupMembershipEntry(me, inet_addr("10.0.0.1"), 0xffffffff, inet_addr("239.1.1.1"),
                                    0xffffffff, 2, 0, MGM_JOIN_STATE_FLAG));
    must(MgmAddGroupMembershipEntry(me, 0, 0, inet_addr("239.2.2.2"), 0xffffffff, 2, 0,
                                    MGM_JOIN_STATE_FLAG));
    if (MgmAddGroupMembershipEntry(me, 0, 0, inet_addr("239.3.0.0"), inet_addr("255.255.0.0"), 2, 0,
                                   MGM_JOIN_STATE_FLAG) == ERROR_INVALID_PARAMETER)
        printf("ranges are not supported\n");
}
/* prints
ranges are not supported
*/
