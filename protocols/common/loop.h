/* The program's one loop: descriptors, timers and signals. Everything runs on one thread. */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <stdbool.h>
#include <stdint.h>

/* Blocks the signals that the loop handles. Call it first of all: threads that are started later (the group manager's)
 * inherit the mask. */
void loop_init(void);

/* Runs until loop_end; gives its status. SIGTERM and SIGINT end it with 0. */
int loop_run(void);
void loop_end(int status);

/* `run` is called when SIGHUP or SIGUSR1 comes. Without it SIGHUP and SIGUSR1 are ignored. */
void loop_on_signal(int signal, void (*run)(void));

/* `ready` is called while `fd` is readable, or has an error; `events` are those of poll(2). */
void loop_watch(int fd, void (*ready)(void *with, short events), void *with);
void loop_unwatch(int fd);

/* Milliseconds of the monotonic clock. */
uint64_t now_ms(void);

/* A timer lives inside the structure that it is about; setting one needs no memory. It runs once each time it was set. All
 * zero is a timer that is not set and has no function yet. Clear it before its memory goes. */
typedef struct timer {
    void (*run)(void *with);
    void *with;
    uint64_t due;
    struct timer *child, *next, *prev; /* the heap that it is in while it is set */
    bool set;
} timer;

void timer_init(timer *t, void (*run)(void *with), void *with);
void timer_set(timer *t, uint64_t ms_from_now); /* sets it, or sets it anew */
void timer_clear(timer *t);
uint64_t timer_left(const timer *t);            /* milliseconds; 0 where it is not set */

/* A random number from 0 to below `limit` (0 for limit 0). */
uint32_t random_below(uint32_t limit);

#endif
