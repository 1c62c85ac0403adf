/* Who owns interface 1, and interface 9? */
#include "example.h"

static void example(HANDLE me)
{
    DWORD protocol, component, index;

    (void)me; /* no registration is needed */
    for (index = 1; index <= 9; index += 8)
        if (MgmGetProtocolOnInterface(index, 0, &protocol, &component) == NO_ERROR)
            printf("%u: protocol 0x%x component %u\n", (unsigned)index, (unsigned)protocol,
                   (unsigned)component);
        else
            printf("%u: nobody\n", (unsigned)index);
}
/* prints
1: protocol 0x7fff0007 component 1
9: nobody
*/
