/* Lines for the log, on standard error: "mgm-igmp: warn: text". */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LEVEL_OFF, LEVEL_ERROR, LEVEL_WARN, LEVEL_INFO, LEVEL_DEBUG };

extern enum log_level log_level;     /* what is shown; LEVEL_INFO at first */
extern const char *log_program;      /* the name that lines begin with */

/* off, error, warn, info or debug; false: none of them. */
bool log_level_set(const char *name);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What is not shown is not made into text either: that would be much of the work for a flow. */
#define log_at(level, ...) (log_level >= (level) ? log_line(level, __VA_ARGS__) : (void)0)
#define log_error(...) log_at(LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_at(LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LEVEL_DEBUG, __VA_ARGS__)

/* A kind of line that packets can cause: at most one comes in ten seconds, with the number of those left out.
 * Each kind has a static log_limit of its own, all zero at first. */
typedef struct log_limit {
    uint64_t next;
    unsigned left_out;
} log_limit;
void log_limited(log_limit *limit, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Ends the program with a line and status 1 (2 for `usage_error`: the command line makes no sense). */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* An address (network byte order) as text. Up to eight may stand in one line of the log. */
const char *ip_text(uint32_t address);
/* "(10.0.0.1,239.1.1.1)"; 0 shows as "*". */
const char *entry_text(uint32_t source, uint32_t group);

#endif
