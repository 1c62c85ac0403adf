/* Links, neighbours, hello and the designated router: RFC 7761 section 4.3, RFC 3973 section 4.3. */
#include "../common/log.h"
#include "pim.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static void hello_due(void *link);
static void triggered_hello_due(void *link);

struct link *pim_link(struct pim *p, unsigned index)
{
    struct link *l = p->links;
    while (l != NULL && l->index != index)
        l = l->next;
    return l;
}

struct link *pim_link_add(struct pim *p, unsigned index, const char *name, enum mode mode, uint32_t address, void *with)
{
    struct link *l = calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
    l->pim = p;
    l->index = index;
    l->name = name;
    l->mode = mode;
    l->address = l->designated = address;
    l->with = with;
    l->generation = random_below(0xffffffff);
    timer_init(&l->hello, hello_due, l);
    timer_init(&l->triggered_hello, triggered_hello_due, l);
    timer_set(&l->hello, random_below(p->settings.triggered_hello));
    l->next = p->links;
    p->links = l;
    pim_routes_changed(p);
    return l;
}

void pim_link_secondary(struct link *l, const uint32_t *addresses, unsigned count)
{
    l->secondary_count = count < PIM_MAX_SECONDARY ? count : PIM_MAX_SECONDARY;
    memcpy(l->secondary, addresses, l->secondary_count * sizeof *addresses);
    if (l->greeted)
        hello_now(l, false);
}

static void forget(struct neighbour *n)
{
    struct neighbour **at = &n->link->neighbours;
    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    timer_clear(&n->liveness);
    free(n);
}

/* Before the link goes its neighbours are told, and what waits for it is sent. */
void pim_link_remove(struct link *l)
{
    struct pim *p = l->pim;
    struct link **at = &p->links;
    message_flush(p);
    if (l->greeted)
        hello_now(l, true);
    timer_clear(&l->hello);
    timer_clear(&l->triggered_hello);
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    EACH_ENTRY(p, e, b, following)
        for (struct oif **o = &e->oifs; *o != NULL; o = &(*o)->next)
            if ((*o)->link == l) {
                struct oif *gone = *o;
                timer_clear(&gone->expiry);
                timer_clear(&gone->pending);
                timer_clear(&gone->assert_timer);
                *o = gone->next;
                free(gone);
                break;
            }
    EACH_ENTRY(p, e, b, following) {
        if (e->up_link == l)
            e->up_link = NULL, e->up_neighbour = 0;
        if (e->rpf == l)
            e->rpf = NULL;
    }
    while (l->neighbours != NULL)
        forget(l->neighbours);
    free(l);
    pim_routes_changed(p);
}

/* ---- what is sent ---------------------------------------------------------------------------------------- */

void hello_now(struct link *l, bool goodbye)
{
    const struct settings *s = &l->pim->settings;
    struct pim_hello hello = {
        .has_holdtime = true, .holdtime = goodbye ? 0 : seconds(s->hello_period * 7 / 2),
        .has_lan_delay = true, .propagation_ms = (uint16_t)s->propagation, .override_ms = (uint16_t)s->override_interval,
        .has_priority = l->mode == MODE_SPARSE, .priority = s->priority,
        .has_generation = true, .generation = l->generation,
        .has_state_refresh = l->mode == MODE_DENSE, .refresh_interval = (uint8_t)seconds(s->refresh_interval),
        .secondary_count = l->secondary_count,
    };
    uint8_t bytes[PIM_MESSAGE_SIZE];
    memcpy(hello.secondary, l->secondary, l->secondary_count * sizeof *l->secondary);
    l->greeted = true;
    timer_clear(&l->triggered_hello);
    l->pim->host->send(l, htonl(0xe000000d), bytes, pim_build_hello(bytes, &hello));
}

static void hello_due(void *link)
{
    struct link *l = link;
    timer_set(&l->hello, l->pim->settings.hello_period);
    hello_now(l, false);
}

static void triggered_hello_due(void *link) { hello_now(link, false); }

/* ---- what is known of the neighbours --------------------------------------------------------------------- */

struct neighbour *neighbour_find(const struct link *l, uint32_t address)
{
    struct neighbour *n;
    for (n = l->neighbours; n != NULL; n = n->next)
        if (n->address == address)
            return n;
    for (n = l->neighbours; n != NULL; n = n->next)
        for (unsigned at = 0; at < n->hello.secondary_count; at++)
            if (n->hello.secondary[at] == address)
                return n;
    return NULL;
}

bool link_many(const struct link *l) { return l->neighbours != NULL && l->neighbours->next != NULL; }

/* The greatest values on the link count where all routers tell theirs, and otherwise the defaults. */
static unsigned agreed(const struct link *l, bool propagation)
{
    const struct settings *s = &l->pim->settings;
    unsigned value = propagation ? s->propagation : s->override_interval;
    for (const struct neighbour *n = l->neighbours; n != NULL; n = n->next) {
        unsigned theirs = propagation ? n->hello.propagation_ms : n->hello.override_ms;
        if (!n->hello.has_lan_delay)
            return propagation ? default_settings.propagation : default_settings.override_interval;
        if (theirs > value)
            value = theirs;
    }
    return value;
}

unsigned link_override(const struct link *l) { return agreed(l, false); }
unsigned link_wait(const struct link *l) { return agreed(l, false) + agreed(l, true); }
unsigned link_random_override(const struct link *l) { return random_below(link_override(l)); }

bool link_suppresses(const struct link *l)
{
    for (const struct neighbour *n = l->neighbours; n != NULL; n = n->next)
        if (!n->hello.has_lan_delay || !n->hello.tracking)
            return true;
    return false;
}

bool link_refreshes(const struct link *l)
{
    for (const struct neighbour *n = l->neighbours; n != NULL; n = n->next)
        if (!n->hello.has_state_refresh)
            return false;
    return true;
}

/* ---- the designated router ------------------------------------------------------------------------------- */

bool link_responsible(const struct link *l) { return l->mode == MODE_DENSE || l->designated == l->address; }

/* True: the designated router is another one now. */
static bool elect(struct link *l)
{
    uint32_t best = l->address, priority = l->pim->settings.priority;
    bool priorities = true;
    for (const struct neighbour *n = l->neighbours; n != NULL; n = n->next)
        priorities = priorities && n->hello.has_priority;
    for (const struct neighbour *n = l->neighbours; n != NULL; n = n->next) {
        uint32_t theirs = n->hello.priority;
        if (priorities && theirs != priority ? theirs > priority : ntohl(n->address) > ntohl(best)) {
            best = n->address;
            priority = theirs;
        }
    }
    if (best == l->designated)
        return false;
    l->designated = best;
    log_info("%s: the designated router is %s%s", l->name, ip_text(best), best == l->address ? ", this one" : "");
    return true;
}

/* ---- what is heard --------------------------------------------------------------------------------------- */

static void lost(struct neighbour *n, const char *why)
{
    struct link *l = n->link;
    log_info("%s: neighbour %s %s", l->name, ip_text(n->address), why);
    entries_neighbour(n, false);
    forget(n);
    elect(l);
    entries_update(l->pim);
}

static void liveness_over(void *neighbour) { lost(neighbour, "has not been heard of: gone"); }

/* A router that is new to us, or to which we are, gets to know us soon, and before anything else that it is sent. */
static void greet(struct link *l)
{
    l->greeted = false;
    if (!l->triggered_hello.set)
        timer_set(&l->triggered_hello, random_below(l->pim->settings.triggered_hello));
}

void hello_receive(struct link *l, uint32_t from, const struct pim_hello *hello)
{
    struct neighbour *n = l->neighbours;
    unsigned hold = hello->has_holdtime ? hello->holdtime : seconds(default_settings.hello_period * 7 / 2);
    bool is_new, restarted = false, other_addresses = false, other_router;
    while (n != NULL && n->address != from)
        n = n->next;
    if (hold == 0) {
        if (n != NULL)
            lost(n, "says goodbye");
        return;
    }
    is_new = n == NULL;
    if (is_new) {
        unsigned count = 0;
        for (struct neighbour *o = l->neighbours; o != NULL; o = o->next)
            count++;
        if (count >= 256 || (n = calloc(1, sizeof *n)) == NULL) {
            static log_limit limit;
            log_limited(&limit, LEVEL_WARN, "%s: no room for neighbour %s", l->name, ip_text(from));
            return;
        }
        n->link = l;
        n->address = from;
        timer_init(&n->liveness, liveness_over, n);
        n->next = l->neighbours;
        l->neighbours = n;
        log_info("%s: neighbour %s is there", l->name, ip_text(from));
    } else {
        other_addresses = n->hello.secondary_count != hello->secondary_count ||
                          memcmp(n->hello.secondary, hello->secondary, sizeof hello->secondary) != 0;
        restarted = n->hello.has_generation != hello->has_generation || n->hello.generation != hello->generation;
    }
    n->hello = *hello;
    if (hold == PIM_FOREVER)
        timer_clear(&n->liveness);
    else
        timer_set(&n->liveness, hold * 1000u);
    other_router = elect(l);
    if (is_new || restarted)
        greet(l);
    if (restarted) {
        log_info("%s: neighbour %s has restarted", l->name, ip_text(from));
        entries_neighbour(n, true);
    }
    /* After a restart the group manager may hold entries as they were (MGM_HOLD), without a link that had no neighbour. */
    if (is_new && l->mode == MODE_DENSE)
        l->pim->host->older_flows(l);
    if (is_new || restarted || other_addresses || other_router)
        entries_update(l->pim);
}

/* ---- other settings ---------------------------------------------------------------------------------------- */

/* Timers that run go on; the next one of each kind is as the settings say. The neighbours are told at once. */
void pim_set(struct pim *p, const struct settings *settings)
{
    bool other_router = false;
    if (memcmp(&p->settings, settings, sizeof *settings) == 0)
        return;
    p->settings = *settings;
    for (struct link *l = p->links; l != NULL; l = l->next) {
        if (l->greeted) {
            timer_set(&l->hello, p->settings.hello_period);
            hello_now(l, false);
        }
        other_router |= elect(l);
    }
    if (other_router)
        entries_update(p);
}
