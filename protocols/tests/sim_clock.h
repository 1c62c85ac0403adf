/* A clock of the test's own, in place of common/loop.c: time passes in sim_run alone. */
#ifndef SIM_CLOCK_H
#define SIM_CLOCK_H

#include "../common/loop.h"
#include <string.h>

static uint64_t sim_now = 1000000;
static timer *sim_timers; /* a list, by time */
static uint32_t sim_seed = 1;

uint64_t now_ms(void) { return sim_now; }

uint32_t random_below(uint32_t limit)
{
    sim_seed = sim_seed * 1664525u + 1013904223u;
    return limit ? (sim_seed >> 8) % limit : 0;
}

void timer_init(timer *t, void (*run)(void *), void *with)
{
    memset(t, 0, sizeof *t);
    t->run = run;
    t->with = with;
}

void timer_clear(timer *t)
{
    timer **at = &sim_timers;
    if (!t->set)
        return;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    t->set = false;
}

void timer_set(timer *t, uint64_t ms)
{
    timer **at = &sim_timers;
    timer_clear(t);
    t->due = sim_now + ms;
    t->set = true;
    while (*at != NULL && (*at)->due <= t->due)
        at = &(*at)->next;
    t->next = *at;
    *at = t;
}

uint64_t timer_left(const timer *t) { return t->set && t->due > sim_now ? t->due - sim_now : 0; }

static void sim_run(uint64_t ms)
{
    uint64_t end = sim_now + ms;
    while (sim_timers != NULL && sim_timers->due <= end) {
        timer *t = sim_timers;
        sim_now = t->due;
        timer_clear(t);
        t->run(t->with);
    }
    sim_now = end;
}

#endif
