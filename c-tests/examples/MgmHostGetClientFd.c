/* The descriptor is readable while callbacks wait: */
#include "example.h"

#include <poll.h>

static DWORD join(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, BOOL members)
{
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)members;
    printf("an alert\n");
    return NO_ERROR;
}

static void example(HANDLE me)
{
    ROUTING_PROTOCOL_CONFIG config = {0};
    struct pollfd wait = {-1, POLLIN, 0};
    HANDLE listener;

    config.dwCallbackFlags = MGM_DISPATCHED;
    config.pfnJoinAlertCallback = join;
    must(MgmRegisterMProtocol(&config, PROTOCOL_ID(PROTO_TYPE_MCAST, 0x3fff, 8), 1, &listener));
    must(MgmHostGetClientFd(listener, &wait.fd));
    must(MgmAddGroupMembershipEntry(me, 0, 0, inet_addr("239.1.1.1"), 0xffffffff, 2, 0,
                                    MGM_JOIN_STATE_FLAG));
    while (poll(&wait, 1, 0) == 1) /* a real loop has no timeout and more descriptors */
        must(MgmHostDispatch(listener));
    must(MgmDeRegisterMProtocol(listener));
}
/* prints
an alert
*/
