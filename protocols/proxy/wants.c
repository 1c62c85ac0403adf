#include "wants.h"
#include "host.h"
#include "../common/log.h"
#include <stdlib.h>

typedef struct want {
    struct want *next;
    uint32_t source; /* 0: any */
    uint32_t slots;  /* one bit for each interface */
    bool others, uncertain;
} want;

typedef struct wanted_group {
    struct wanted_group *next; /* in its bucket */
    uint32_t address;
    want *wants;
} wanted_group;

static wanted_group **buckets;
static unsigned bucket_count, group_count;
static bool holding;

static wanted_group **bucket_of(uint32_t group)
{
    return &buckets[(group * 2654435761u >> 8) & (bucket_count - 1)];
}

static wanted_group *find(uint32_t group)
{
    wanted_group *g = bucket_count ? *bucket_of(group) : NULL;
    while (g != NULL && g->address != group)
        g = g->next;
    return g;
}

static wanted_group *add(uint32_t group)
{
    wanted_group *g;
    if (group_count >= bucket_count) {
        unsigned old = bucket_count, count = old ? 2 * old : 64;
        wanted_group **more = calloc(count, sizeof *more), **was = buckets;
        if (more == NULL)
            return NULL;
        buckets = more;
        bucket_count = count;
        for (unsigned n = 0; n < old; n++)
            while ((g = was[n]) != NULL) {
                was[n] = g->next;
                g->next = *bucket_of(g->address);
                *bucket_of(g->address) = g;
            }
        free(was);
    }
    if ((g = calloc(1, sizeof *g)) == NULL)
        return NULL;
    g->address = group;
    g->next = *bucket_of(group);
    *bucket_of(group) = g;
    group_count++;
    return g;
}

static want *find_want(wanted_group *g, uint32_t source, bool make)
{
    want *w = g->wants;
    while (w != NULL && w->source != source)
        w = w->next;
    if (w == NULL && make && (w = calloc(1, sizeof *w)) != NULL) {
        w->source = source;
        w->next = g->wants;
        g->wants = w;
    }
    return w;
}

/* Tells the host side what the group comes to. */
static void report(const wanted_group *g)
{
    static uint32_t *sources;
    static unsigned room;
    bool any = false;
    unsigned count = 0;
    for (const want *w = g->wants; w != NULL; w = w->next) {
        any |= w->source == 0;
        if (w->source == 0)
            continue;
        if (count == room) {
            uint32_t *more = realloc(sources, (room + 64) * sizeof *more);
            if (more == NULL) {
                any = true; /* more than is wanted rather than less */
                break;
            }
            sources = more;
            room += 64;
        }
        sources[count++] = w->source;
    }
    host_want(g->address, any, sources, count);
}

/* Wants that nobody has go, and with the last the group. While holding they stay. */
static void settle(wanted_group *g)
{
    want **link = &g->wants;
    wanted_group **place = bucket_of(g->address);
    while (*link != NULL && !holding) {
        want *w = *link;
        if (w->slots != 0 || w->others) {
            link = &w->next;
            continue;
        }
        *link = w->next;
        free(w);
    }
    report(g);
    if (g->wants != NULL)
        return;
    while (*place != g)
        place = &(*place)->next;
    *place = g->next;
    group_count--;
    free(g);
}

/* The want, made where it is new and `wanted`; NULL: there is none. */
static want *want_of(uint32_t source, uint32_t group, bool wanted, wanted_group **g)
{
    static log_limit no_memory;
    want *w;
    if ((*g = find(group)) == NULL && (!wanted || (*g = add(group)) == NULL)) {
        if (wanted)
            log_limited(&no_memory, LEVEL_ERROR, "no memory for %s", entry_text(source, group));
        return NULL;
    }
    if ((w = find_want(*g, source, wanted)) == NULL && wanted) {
        log_limited(&no_memory, LEVEL_ERROR, "no memory for %s", entry_text(source, group));
        settle(*g); /* it may have been made for this */
    }
    return w;
}

void wants_local(unsigned slot, uint32_t source, uint32_t group, bool wanted)
{
    wanted_group *g;
    want *w = want_of(source, group, wanted, &g);
    if (w == NULL)
        return;
    if (wanted)
        w->slots |= 1u << slot;
    else
        w->slots &= ~(1u << slot);
    settle(g);
}

void wants_others(uint32_t source, uint32_t group, bool wanted, bool certain)
{
    wanted_group *g;
    want *w = want_of(source, group, wanted, &g);
    if (w == NULL)
        return;
    if (certain || !w->others) {
        w->others = wanted;
        w->uncertain = !certain;
    }
    settle(g);
}

/* Each of them may go while this runs. */
static void for_all(void (*change)(want *w, const wanted_group *g, unsigned slot), unsigned slot)
{
    for (unsigned n = 0; n < bucket_count; n++) {
        wanted_group *g, *next;
        for (g = buckets[n]; g != NULL; g = next) {
            next = g->next;
            for (want *w = g->wants; w != NULL; w = w->next)
                change(w, g, slot);
            settle(g);
        }
    }
}

static void no_slot(want *w, const wanted_group *g, unsigned slot)
{
    (void)g;
    w->slots &= ~(1u << slot);
}

static void no_others(want *w, const wanted_group *g, unsigned slot)
{
    (void)g, (void)slot;
    w->others = w->uncertain = false;
}

static void nothing(want *w, const wanted_group *g, unsigned slot) { (void)w, (void)g, (void)slot; }

void wants_no_slot(unsigned slot) { for_all(no_slot, slot); }
void wants_no_others(void) { for_all(no_others, 0); }

void wants_hold(bool hold)
{
    holding = hold;
    if (!hold)
        for_all(nothing, 0);
}

bool wants_uncertain(void)
{
    for (unsigned n = 0; n < bucket_count; n++)
        for (const wanted_group *g = buckets[n]; g != NULL; g = g->next)
            for (const want *w = g->wants; w != NULL; w = w->next)
                if (w->uncertain)
                    return true;
    return false;
}

static bool (*is_listed)(uint32_t source, uint32_t group);
static void check(want *w, const wanted_group *g, unsigned slot)
{
    (void)slot;
    if (w->uncertain && !is_listed(w->source, g->address))
        w->others = w->uncertain = false;
}

void wants_check(bool (*listed)(uint32_t source, uint32_t group))
{
    is_listed = listed;
    for_all(check, 0);
}
