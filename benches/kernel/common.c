/* What every part of the kernel bench uses. See main.c. */
#include "kernel.h"
#include <fcntl.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

unsigned count;

void fatal(const char *what)
{
    fprintf(stderr, "kernel: %s: %s\n", what, strerror(errno));
    exit(1);
}

void check(DWORD code, const char *call)
{
    if (code == NO_ERROR)
        return;
    fprintf(stderr, "kernel: %s gave %u\n", call, (unsigned)code);
    exit(1);
}

int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void report(const char *what, const char *who, double value)
{
    printf("%s\t%u\t%s\t%.3f\n", what, count, who, value);
    fflush(stdout);
}

int enter(const char *name)
{
    char path[64];
    int ns, was = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    MUST(was);
    snprintf(path, sizeof path, "/run/netns/%s", name);
    MUST(ns = open(path, O_RDONLY | O_CLOEXEC));
    leave_to(ns);
    return was;
}

void leave_to(int ns)
{
    MUST(setns(ns, CLONE_NEWNET));
    close(ns);
}
