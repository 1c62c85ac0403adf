/* The interface that packets come in on has no link any more: their entry goes. */
#include "example.h"

static void example(HANDLE me)
{
    static const BYTE packet[28] = PACKET; /* from 10.0.0.1 to 239.1.1.1 */
    MIB_IPMCAST_MFE which = {0};
    DWORD size = 0;

    (void)me;
    must(MgmHostReceive(1, 0, packet, sizeof packet));
    must(MgmHostInterfaceDown(1, 0));
    which.dwSource = inet_addr("10.0.0.1");
    which.dwGroup = inet_addr("239.1.1.1");
    if (MgmGetMfe(&which, &size, NULL) == ERROR_NOT_FOUND)
        printf("there is no entry\n");
}
/* prints
there is no entry
*/
