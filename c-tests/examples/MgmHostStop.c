/* Everything ends, and may begin anew: */
#include "example.h"

static void example(HANDLE me)
{
    MGM_HOST_CONFIG host = {0};

    must(MgmHostStop());
    if (MgmDeRegisterMProtocol(me) == ERROR_INVALID_PARAMETER)
        printf("the client is gone\n");
    host.dwSize = sizeof host;
    must(MgmHostStart(&host));
}
/* prints
the client is gone
*/
