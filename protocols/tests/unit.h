/* For the unit tests of the protocols. */
#ifndef UNIT_H
#define UNIT_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int unit_passed, unit_failed, unit_wrong;

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            unit_wrong++;                                                           \
            printf("    %s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
        }                                                                           \
    } while (0)

#define RUN(test) unit_run(test, #test)

static inline void unit_run(void (*test)(void), const char *name)
{
    unit_wrong = 0;
    test();
    printf("%s: %s\n", unit_wrong ? "FAILED" : "passed", name);
    unit_wrong ? unit_failed++ : unit_passed++;
}

static inline int unit_end(void)
{
    printf("%d passed, %d failed\n", unit_passed, unit_failed);
    return unit_failed > 0;
}

#endif
