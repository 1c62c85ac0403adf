#include "log.h"
#include "loop.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum log_level log_level = LEVEL_INFO;
const char *log_program = "mgm";

static const char *const names[] = {"off", "error", "warn", "info", "debug"};

bool log_level_set(const char *name)
{
    for (unsigned n = 0; n < sizeof names / sizeof *names; n++)
        if (strcmp(name, names[n]) == 0) {
            log_level = (enum log_level)n;
            return true;
        }
    return false;
}

/* One write for each line, so that lines of several processes do not mix. */
static void write_line(enum log_level level, unsigned left_out, const char *format, va_list arguments)
{
    char text[512], more[48] = "";
    if (level > log_level)
        return;
    vsnprintf(text, sizeof text, format, arguments);
    if (left_out > 0)
        snprintf(more, sizeof more, " (and %u more like it)", left_out);
    fprintf(stderr, "%s: %s: %s%s\n", log_program, names[level], text, more);
}

void log_line(enum log_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(level, 0, format, arguments);
    va_end(arguments);
}

void log_limited(log_limit *limit, enum log_level level, const char *format, ...)
{
    va_list arguments;
    uint64_t now = now_ms();
    if (now < limit->next) {
        limit->left_out++;
        return;
    }
    va_start(arguments, format);
    write_line(level, limit->left_out, format, arguments);
    va_end(arguments);
    limit->next = now + 10000;
    limit->left_out = 0;
}

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(LEVEL_ERROR, 0, format, arguments);
    va_end(arguments);
    exit(1);
}

void usage_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(LEVEL_ERROR, 0, format, arguments);
    va_end(arguments);
    fprintf(stderr, "Try '%s --help'.\n", log_program);
    exit(2);
}

const char *ip_text(uint32_t address)
{
    static char texts[8][16];
    static unsigned next;
    unsigned char octets[4];
    char *text = texts[next++ % 8];
    memcpy(octets, &address, 4);
    snprintf(text, sizeof texts[0], "%u.%u.%u.%u", octets[0], octets[1], octets[2], octets[3]);
    return text;
}

const char *entry_text(uint32_t source, uint32_t group)
{
    static char texts[4][40];
    static unsigned next;
    char *text = texts[next++ % 4];
    snprintf(text, sizeof texts[0], "(%s,%s)", source ? ip_text(source) : "*", group ? ip_text(group) : "*");
    return text;
}
