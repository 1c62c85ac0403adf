/* A small unit-test harness. A test is a function, run with RUN(function). It passes when every
 * CHECK in it held; a CHECK that does not hold prints where, what and the values, and goes on.
 * main ends with `return check_summary();`, which prints "N passed, N failed".
 * CHECKs may run on any thread; RUN only on the main one. */
#ifndef CHECK_H
#define CHECK_H

#include "codes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_passed, check_failed; /* tests */
static int check_wrong;                /* CHECKs that did not hold in the test that runs now */
static const char *check_test = "outside a test";

static inline int check_that(int holds, const char *text, const char *file, int line)
{
    if (!holds) {
        __atomic_add_fetch(&check_wrong, 1, __ATOMIC_SEQ_CST);
        printf("%s:%d: %s: does not hold: %s\n", file, line, check_test, text);
    }
    return holds;
}

static inline int check_code(DWORD actual, DWORD expected, const char *call, const char *file,
                             int line)
{
    if (actual != expected) {
        __atomic_add_fetch(&check_wrong, 1, __ATOMIC_SEQ_CST);
        printf("%s:%d: %s: %s\n    expected %s (%u)\n    got      %s (%u)\n", file, line,
               check_test, call, code_name(expected), (unsigned)expected, code_name(actual),
               (unsigned)actual);
    }
    return actual == expected;
}

static inline int check_number(unsigned long long actual, unsigned long long expected,
                               const char *text, const char *file, int line)
{
    if (actual != expected) {
        __atomic_add_fetch(&check_wrong, 1, __ATOMIC_SEQ_CST);
        printf("%s:%d: %s: %s\n    expected %llu (0x%llx)\n    got      %llu (0x%llx)\n", file, line,
               check_test, text, expected, expected, actual, actual);
    }
    return actual == expected;
}

static inline int check_text(const char *actual, const char *expected, const char *what,
                             const char *file, int line)
{
    int same = strcmp(actual, expected) == 0;
    if (!same) {
        __atomic_add_fetch(&check_wrong, 1, __ATOMIC_SEQ_CST);
        printf("%s:%d: %s: %s\n  expected:\n%s  got:\n%s", file, line, check_test, what, expected,
               actual);
    }
    return same;
}

static inline void check_run(void (*test)(void), const char *name)
{
    check_test = name;
    check_wrong = 0;
    test();
    if (__atomic_load_n(&check_wrong, __ATOMIC_SEQ_CST) == 0) {
        check_passed++;
    } else {
        check_failed++;
        printf("FAILED %s\n", name);
    }
    fflush(stdout);
    check_test = "outside a test";
}

static inline int check_summary(void)
{
    printf("%d passed, %d failed\n", check_passed, check_failed);
    return check_failed == 0 && check_passed > 0 ? 0 : 1;
}

/* Whether the host is another process (apart.c). */
static inline int check_apart(void) { return getenv("MGM_HOST") != NULL; }

#define CHECK(condition) check_that((condition) != 0, #condition, __FILE__, __LINE__)
#define CHECK_CODE(call, expected) check_code((call), (expected), #call, __FILE__, __LINE__)
#define CHECK_EQ(actual, expected) check_number((actual), (expected), #actual, __FILE__, __LINE__)
#define CHECK_TEXT(actual, expected) check_text((actual), (expected), #actual, __FILE__, __LINE__)
#define RUN(test) check_run((test), #test)
/* What cannot be so where the host is another process; the test says why. */
#define RUN_IN_ONE_PROCESS(test) (check_apart() ? (void)0 : RUN(test))

#endif
