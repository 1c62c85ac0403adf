/* A protocol that wants to know who else has receivers: */
#include "example.h"

static DWORD join(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, BOOL members)
{
    struct in_addr in = {group};
    (void)source, (void)source_mask, (void)group_mask;
    if (members)
        printf("others have members of %s\n", inet_ntoa(in));
    return NO_ERROR;
}

static void example(HANDLE me)
{
    ROUTING_PROTOCOL_CONFIG config = {0}; /* callbacks that stay NULL are skipped */
    HANDLE listener;

    config.pfnJoinAlertCallback = join;
    must(MgmRegisterMProtocol(&config, PROTOCOL_ID(PROTO_TYPE_MCAST, 0x3fff, 8), 1, &listener));
    must(MgmAddGroupMembershipEntry(me, 0, 0, inet_addr("239.1.1.1"), 0xffffffff, 2, 0,
                                    MGM_JOIN_STATE_FLAG));
    must(MgmDeRegisterMProtocol(listener));
}
/* prints
others have members of 239.1.1.1
*/
