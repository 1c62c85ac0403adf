/* An enumeration may be ended before its last row: */
#include "example.h"

static void example(HANDLE me)
{
    HANDLE enumeration;

    must(MgmGroupEnumerationStart(me, ALL_SOURCES, &enumeration));
    must(MgmGroupEnumerationEnd(enumeration));
    if (MgmGroupEnumerationEnd(enumeration) == ERROR_INVALID_PARAMETER)
        printf("it has ended\n");
}
/* prints
it has ended
*/
