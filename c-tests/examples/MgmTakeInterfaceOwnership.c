/* Two neighbours behind one tunnel are two interfaces: */
#include "example.h"

static void example(HANDLE me)
{
    must(MgmTakeInterfaceOwnership(me, 3, inet_addr("10.9.0.2")));
    must(MgmTakeInterfaceOwnership(me, 3, inet_addr("10.9.0.3")));
    if (MgmTakeInterfaceOwnership(me, 3, inet_addr("10.9.0.3")) == ERROR_ALREADY_EXISTS)
        printf("it is taken already\n");
}
/* prints
it is taken already
*/
