/* The whole state, of whatever length: */
#include "example.h"

static void example(HANDLE me)
{
    char *state = NULL;
    DWORD code, size = 0;

    (void)me;
    while ((code = MgmHostGetState(&size, (PBYTE)state)) == ERROR_INSUFFICIENT_BUFFER) {
        free(state);
        state = (char *)malloc(size += 1024); /* it may grow before the next call */
        if (state == NULL)
            exit(1);
    }
    must(code);
    printf("it begins with %.1s\n", state);
    free(state);
}
/* prints
it begins with {
*/
