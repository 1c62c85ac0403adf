/* Ending in order: a client that is still on an interface is refused. */
#include "example.h"

static void example(HANDLE me)
{
    if (MgmDeRegisterMProtocol(me) == ERROR_CAN_NOT_COMPLETE)
        printf("release the interfaces first\n");
    must(MgmReleaseInterfaceOwnership(me, 1, 0));
    must(MgmReleaseInterfaceOwnership(me, 2, 0));
    must(MgmDeRegisterMProtocol(me));
    /* no callback of the client is running now: its code may be unloaded */
}
/* prints
release the interfaces first
*/
