/* Errors on purpose: whether the tools that are to find none would find any.
 * usage: canary none|overflow|stale|shift|leak|in-the-library */
#include "fixture.h"

/* Volatile, so that the compiler does not find them first. */
static volatile int sixty = 60;
static volatile BYTE *volatile again;

int main(int argc, char **argv)
{
    static const DWORD on_1[] = {1, 0};
    const char *mode = argc == 2 ? argv[1] : "";
    volatile BYTE *bytes = (volatile BYTE *)malloc(16);
    DWORD size = 4096, count;
    int status = 0;
    if (bytes == NULL)
        return 2;
    start_host();
    enrol_with(&A, on_1);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    if (strcmp(mode, "overflow") == 0) {
        again = bytes;
        again[sixty - 44] = 1; /* the first octet after it */
    } else if (strcmp(mode, "stale") == 0) {
        again = bytes;
        free((void *)bytes);
        status = again[0];
        bytes = (volatile BYTE *)malloc(16);
    } else if (strcmp(mode, "shift") == 0) {
        status = (1 << sixty) & 1;
    } else if (strcmp(mode, "leak") == 0) {
        bytes = (volatile BYTE *)malloc(16); /* and the first one is lost */
    } else if (strcmp(mode, "in-the-library") == 0) {
        MgmGetFirstMfe(&size, (PBYTE)bytes, &count); /* it is told of 4096 octets, not of 16 */
    }
    free((void *)bytes);
    stop_host();
    return status;
}
