/* What the parts of the router share: its interfaces, checks of codes, lines and texts. */
#include "router.h"
#include <arpa/inet.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

router_interface interfaces[MAX_INTERFACES];
int interface_count;
int apart;
int host_gone = 1; /* or not there yet */

void must(DWORD actual, DWORD expected, const char *call)
{
    if (actual == expected)
        return;
    if (apart && actual == ERROR_CAN_NOT_COMPLETE) {
        if (!host_gone)
            say("router", "the host has gone");
        host_gone = 1;
        return;
    }
    printf("router: FAILED: %s\n  gave %s, expected %s\n", call, code_name(actual),
           code_name(expected));
    fflush(stdout);
    _exit(1); /* this may be a callback: no exit handlers */
}

void say(const char *who, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    printf("%s: %s\n", who, text); /* one call, so that lines of several threads do not mix */
}

const char *interface_name(DWORD index)
{
    int n;
    for (n = 0; n < interface_count; n++)
        if (interfaces[n].index == index)
            return interfaces[n].name;
    return "?";
}

const char *address_text(DWORD address)
{
    static __thread char texts[8][INET_ADDRSTRLEN];
    static __thread unsigned turn;
    char *text = texts[turn++ % 8];
    struct in_addr in;
    in.s_addr = address;
    if (address == 0)
        return "*";
    return inet_ntop(AF_INET, &in, text, INET_ADDRSTRLEN);
}

const char *entry_text(DWORD source, DWORD group)
{
    static __thread char texts[4][48];
    static __thread unsigned turn;
    char *text = texts[turn++ % 4];
    snprintf(text, sizeof texts[0], "(%s,%s)", address_text(source), address_text(group));
    return text;
}

uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
