#include "loop.h"
#include "log.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum { MAX_WATCHES = 32 };
static struct pollfd polled[MAX_WATCHES];
static struct {
    void (*ready)(void *, short);
    void *with;
} watches[MAX_WATCHES];
static nfds_t watch_count;
static void (*on_hup)(void), (*on_usr1)(void);
static bool ended;
static int end_status;

/* ---- timers: a pairing heap, whose links are in the timers themselves ------------------------------ */

static timer *heap;

/* The earlier of two heaps becomes the parent of the other. Both are without siblings. */
static timer *merge(timer *a, timer *b)
{
    if (a == NULL)
        return b;
    if (b == NULL)
        return a;
    if (b->due < a->due) {
        timer *swap = a;
        a = b;
        b = swap;
    }
    b->prev = a; /* a first child's prev is its parent */
    b->next = a->child;
    if (b->next != NULL)
        b->next->prev = b;
    a->child = b;
    return a;
}

/* Makes one heap of a list of siblings: in pairs from the left, then all from the right. */
static timer *merge_siblings(timer *first)
{
    timer *pairs = NULL, *result = NULL;
    while (first != NULL) {
        timer *a = first, *b = a->next;
        first = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b != NULL)
            b->next = b->prev = NULL;
        a = merge(a, b);
        a->next = pairs;
        pairs = a;
    }
    while (pairs != NULL) {
        timer *a = pairs;
        pairs = a->next;
        a->next = NULL;
        result = merge(result, a);
    }
    return result;
}

static void take_out(timer *t)
{
    timer *rest = merge_siblings(t->child);
    if (t == heap) {
        heap = rest;
    } else {
        if (t->prev->child == t)
            t->prev->child = t->next;
        else
            t->prev->next = t->next;
        if (t->next != NULL)
            t->next->prev = t->prev;
        heap = merge(heap, rest);
    }
    t->child = t->next = t->prev = NULL;
    t->set = false;
}

void timer_init(timer *t, void (*run)(void *), void *with)
{
    memset(t, 0, sizeof *t);
    t->run = run;
    t->with = with;
}

void timer_set(timer *t, uint64_t ms_from_now)
{
    timer_clear(t);
    t->due = now_ms() + (ms_from_now ? ms_from_now : 1); /* a timer that sets itself lets the loop go on */
    t->set = true;
    heap = merge(heap, t);
}

void timer_clear(timer *t)
{
    if (t->set)
        take_out(t);
}

uint64_t timer_left(const timer *t)
{
    uint64_t now = now_ms();
    return t->set && t->due > now ? t->due - now : 0;
}

/* Runs what is due now. */
static void run_timers(void)
{
    uint64_t now = now_ms();
    while (heap != NULL && heap->due <= now && !ended) {
        timer *t = heap;
        take_out(t);
        t->run(t->with);
    }
}

uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint32_t random_below(uint32_t limit)
{
    uint32_t value = 0;
    if (limit == 0)
        return 0;
    if (getrandom(&value, sizeof value, GRND_NONBLOCK) != sizeof value)
        value = (uint32_t)now_ms() * 2654435761u; /* early after boot */
    return value % limit;
}

/* ---- descriptors and signals ------------------------------------------------------------------- */

void loop_watch(int fd, void (*ready)(void *, short), void *with)
{
    if (watch_count == MAX_WATCHES)
        die("more than %d descriptors to watch", MAX_WATCHES);
    polled[watch_count].fd = fd;
    polled[watch_count].events = POLLIN;
    polled[watch_count].revents = 0;
    watches[watch_count].ready = ready;
    watches[watch_count].with = with;
    watch_count++;
}

void loop_unwatch(int fd)
{
    for (nfds_t n = 0; n < watch_count; n++)
        if (polled[n].fd == fd) {
            watch_count--;
            polled[n] = polled[watch_count];
            watches[n] = watches[watch_count];
            return;
        }
}

static void signal_came(void *with, short events)
{
    struct signalfd_siginfo info;
    int fd = *(int *)with;
    (void)events;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            loop_end(0);
        else if (info.ssi_signo == SIGHUP && on_hup != NULL)
            on_hup();
        else if (info.ssi_signo == SIGUSR1 && on_usr1 != NULL)
            on_usr1();
    }
}

void loop_on_signal(int signal, void (*run)(void))
{
    if (signal == SIGHUP)
        on_hup = run;
    else if (signal == SIGUSR1)
        on_usr1 = run;
}

void loop_init(void)
{
    static int fd;
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGHUP);
    sigaddset(&mask, SIGUSR1);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &mask, NULL) != 0 || (fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
        die("signals: %s", strerror(errno));
    loop_watch(fd, signal_came, &fd);
}

void loop_end(int status)
{
    ended = true;
    end_status = status;
}

int loop_run(void)
{
    while (!ended) {
        struct pollfd ready[MAX_WATCHES];
        nfds_t count = watch_count;
        int timeout = -1;
        if (heap != NULL) {
            uint64_t left = timer_left(heap);
            timeout = left > 60000 ? 60000 : (int)left;
        }
        if (poll(polled, count, timeout) < 0 && errno != EINTR)
            die("poll: %s", strerror(errno));
        /* What is ready is looked up again by its descriptor: an earlier one may have changed the list. */
        memcpy(ready, polled, count * sizeof *ready);
        for (nfds_t n = 0; n < watch_count; n++)
            polled[n].revents = 0;
        for (nfds_t n = 0; n < count && !ended; n++)
            for (nfds_t m = 0; ready[n].revents != 0 && m < watch_count; m++)
                if (polled[m].fd == ready[n].fd) {
                    watches[m].ready(watches[m].with, ready[n].revents);
                    break;
                }
        run_timers();
    }
    ended = false;
    return end_status;
}
