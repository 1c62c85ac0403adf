/* The groups of a link: RFC 3376 sections 6.2 to 6.6 and 7.3.2, table by table. */
#include "link.h"
#include "../common/net.h"
#include <stdlib.h>
#include <string.h>

/* ---- lists ------------------------------------------------------------------------------------------- */

static uint32_t bucket_of(const igmp_link *l, uint32_t group)
{
    return (group * 2654435761u >> 8) & (l->bucket_count - 1); /* a power of two */
}

igmp_group *group_find(const igmp_link *l, uint32_t group)
{
    igmp_group *g = l->bucket_count ? l->buckets[bucket_of(l, group)] : NULL;
    while (g != NULL && g->address != group)
        g = g->next;
    return g;
}

igmp_source *source_find(const igmp_group *g, uint32_t address)
{
    igmp_source *s = g->sources;
    while (s != NULL && s->address != address)
        s = s->next;
    return s;
}

/* Room for one more group. Where there is no memory for more buckets the lists get longer. */
static bool grow(igmp_link *l)
{
    unsigned old = l->bucket_count, count = old ? 2 * old : 16;
    igmp_group **buckets;
    if (l->group_count < old)
        return true;
    if ((buckets = calloc(count, sizeof *buckets)) == NULL)
        return old > 0;
    l->bucket_count = count;
    for (unsigned n = 0; n < old; n++) {
        igmp_group *g, *next;
        for (g = l->buckets[n]; g != NULL; g = next) {
            igmp_group **bucket = &buckets[bucket_of(l, g->address)];
            next = g->next;
            g->next = *bucket;
            *bucket = g;
        }
    }
    free(l->buckets);
    l->buckets = buckets;
    return true;
}

static void group_timer_ran(void *with);
static void source_timer_ran(void *with);
static void ask_again(void *with);
static void nothing(void *with) { (void)with; }

static igmp_group *group_new(igmp_link *l, uint32_t address)
{
    static log_limit limit, no_memory;
    igmp_group *g;
    if (l->group_count >= l->settings.max_groups) {
        log_limited(&limit, LEVEL_WARN, "%s: %s is refused: there are %u groups already, as many as are allowed", l->on->name,
                    ip_text(address), l->group_count);
        return NULL;
    }
    if (!grow(l) || (g = calloc(1, sizeof *g)) == NULL) {
        log_limited(&no_memory, LEVEL_ERROR, "%s: no memory for %s", l->on->name, ip_text(address));
        return NULL;
    }
    g->on = l;
    g->address = address;
    timer_init(&g->excluding, group_timer_ran, g);
    timer_init(&g->v1_host, nothing, NULL);
    timer_init(&g->v2_host, nothing, NULL);
    timer_init(&g->ask_again, ask_again, g);
    g->next = l->buckets[bucket_of(l, address)];
    l->buckets[bucket_of(l, address)] = g;
    l->group_count++;
    return g;
}

static igmp_source *source_new(igmp_group *g, uint32_t address)
{
    static log_limit limit;
    igmp_source *s;
    if (g->source_count >= g->on->settings.max_sources || (s = calloc(1, sizeof *s)) == NULL) {
        log_limited(&limit, LEVEL_WARN, "%s: source %s of %s is passed over: there are %u already", g->on->on->name,
                    ip_text(address), ip_text(g->address), g->source_count);
        return NULL;
    }
    s->of = g;
    s->address = address;
    timer_init(&s->wanted, source_timer_ran, s);
    s->next = g->sources;
    g->sources = s;
    g->source_count++;
    return s;
}

static void source_remove(igmp_source *gone)
{
    igmp_group *g = gone->of;
    igmp_source **link = &g->sources;
    while (*link != gone)
        link = &(*link)->next;
    *link = gone->next;
    g->source_count--;
    timer_clear(&gone->wanted);
    tell_source_gone(gone);
    free(gone);
}

static void group_remove(igmp_group *gone)
{
    igmp_link *l = gone->on;
    igmp_group **link = &l->buckets[bucket_of(l, gone->address)];
    log_debug("%s: nobody wants %s any more", l->on->name, ip_text(gone->address));
    tell_group_gone(gone);
    while (gone->sources != NULL)
        source_remove(gone->sources);
    timer_clear(&gone->excluding);
    timer_clear(&gone->v1_host);
    timer_clear(&gone->v2_host);
    timer_clear(&gone->ask_again);
    while (*link != gone)
        link = &(*link)->next;
    *link = gone->next;
    l->group_count--;
    free(gone);
}

void groups_drop(igmp_link *l)
{
    for (unsigned n = 0; n < l->bucket_count; n++)
        while (l->buckets[n] != NULL)
            group_remove(l->buckets[n]);
}

/* After any change: a group that nobody wants goes, of another the group manager is told. */
static void settle(igmp_group *g)
{
    if (!g->exclude && g->sources == NULL)
        group_remove(g);
    else
        tell_group(g);
}

/* ---- timers (sections 6.2.2, 6.2.3, 6.5) -------------------------------------------------------------- */

/* EXCLUDE becomes INCLUDE with the sources that are still wanted. */
static void group_timer_ran(void *with)
{
    igmp_group *g = with;
    igmp_source *s, *next;
    g->exclude = false;
    g->queries_left = 0;
    tell_group(g); /* additions first, and the sources that are blocked are free again */
    for (s = g->sources; s != NULL; s = next) {
        next = s->next;
        if (!s->wanted.set)
            source_remove(s);
    }
    settle(g);
}

static void source_timer_ran(void *with)
{
    igmp_source *s = with;
    igmp_group *g = s->of;
    s->queries_left = 0;
    if (!g->exclude)
        source_remove(s);
    settle(g);
}

/* ---- queries to last members (section 6.6.3) ------------------------------------------------------------- */

enum { MOST_ASKED = 512 }; /* sources at a time */

/* Sources that are being collected for a query. Where Q(G) goes out as well, those that somebody has answered for are left out. */
static void ask_for(igmp_group *g, bool answered, const uint32_t *sources, unsigned *count, bool group_asked)
{
    if (*count > 0 && !(answered && group_asked))
        querier_ask(g->on, g->address, answered, sources, *count);
    *count = 0;
}

/* Sends what is left to ask: Q(G), and Q(G,S) twice, for sources that somebody has answered for meanwhile with the S flag. */
static void ask_again(void *with)
{
    igmp_group *g = with;
    igmp_link *l = g->on;
    uint32_t sources[2][MOST_ASKED];
    unsigned counts[2] = {0, 0}, last = link_last_member_ms(l);
    bool group_asked = g->queries_left > 0, more = false;
    if (!l->querier)
        return;
    if (group_asked) {
        querier_ask(l, g->address, timer_left(&g->excluding) > last, NULL, 0);
        more = --g->queries_left > 0;
    }
    for (igmp_source *s = g->sources; s != NULL; s = s->next) {
        unsigned answered = timer_left(&s->wanted) > last;
        if (s->queries_left == 0)
            continue;
        if (counts[answered] == MOST_ASKED)
            ask_for(g, answered, sources[answered], &counts[answered], group_asked);
        sources[answered][counts[answered]++] = s->address;
        more |= --s->queries_left > 0;
    }
    ask_for(g, false, sources[0], &counts[0], group_asked);
    ask_for(g, true, sources[1], &counts[1], group_asked);
    if (more)
        timer_set(&g->ask_again, l->settings.last_member_interval_ms);
}

static void lower(timer *t, unsigned ms)
{
    if (t->set && timer_left(t) > ms)
        timer_set(t, ms);
}

/* "Send Q(G)" of the tables. With fast leave the group is not asked for: nobody is left. */
static void ask_for_group(igmp_group *g)
{
    if (g->on->settings.fast_leave) {
        timer_set(&g->excluding, 0);
    } else if (g->on->querier && g->on->settings.version > 1) {
        lower(&g->excluding, link_last_member_ms(g->on));
        g->queries_left = link_last_member_count(g->on);
        g->asks = true;
    }
}

/* "Send Q(G,S)". The sources are those that are marked with queries_left 1 here; the others' number is kept apart. */
static void ask_for_source(igmp_source *s)
{
    igmp_link *l = s->of->on;
    if (!s->wanted.set)
        return;
    if (l->settings.fast_leave) {
        timer_set(&s->wanted, 0);
    } else if (l->querier && l->settings.version > 2 && timer_left(&s->wanted) > link_last_member_ms(l)) {
        timer_set(&s->wanted, link_last_member_ms(l));
        s->queries_left = link_last_member_count(l);
        s->of->asks = true;
    }
}

/* Sends what the last record made necessary, at once. (Hosts send a record more than once: one that says nothing new leaves what
 * is still to be asked to its time.) */
static void ask_now(igmp_group *g)
{
    if (g->asks)
        ask_again(g);
    g->asks = false;
}

void group_lower(igmp_link *l, const igmp_message *query, unsigned ms)
{
    igmp_group *g = group_find(l, query->group);
    if (g == NULL)
        return;
    if (query->count == 0)
        lower(&g->excluding, ms);
    for (unsigned n = 0; n < query->count; n++) {
        igmp_source *s = source_find(g, get_address(query->sources + 4 * n));
        if (s != NULL)
            lower(&s->wanted, ms);
    }
}

/* ---- records (section 6.4) --------------------------------------------------------------------------------- */

/* Marks the sources that the record names, and makes those that are new, which have no timer yet. */
static void name_sources(igmp_group *g, const igmp_record *record)
{
    igmp_source *s;
    for (s = g->sources; s != NULL; s = s->next)
        s->named = false;
    for (unsigned n = 0; n < record->count; n++) {
        uint32_t address = get_address(record->sources + 4 * n);
        if (!is_host_address(address))
            continue;
        if ((s = source_find(g, address)) == NULL && (s = source_new(g, address)) == NULL)
            continue;
        s->named = true;
    }
}

/* IS_IN, ALLOW, TO_IN, in either mode: the sources named are wanted. */
static void wanted(igmp_group *g, enum igmp_record_type type)
{
    unsigned ms = link_membership_ms(g->on);
    for (igmp_source *s = g->sources; s != NULL; s = s->next) {
        if (s->named)
            timer_set(&s->wanted, ms);
        else if (type == TO_IN)
            ask_for_source(s); /* Q(G,A-B), Q(G,X-A) */
    }
    if (type == TO_IN && g->exclude)
        ask_for_group(g);
}

/* IS_EX and TO_EX: what is not named goes; what is named and new is blocked if the group was in INCLUDE mode, and otherwise
 * wanted for now. */
static void excluded(igmp_group *g, enum igmp_record_type type, igmp_source *first_old)
{
    unsigned ms = link_membership_ms(g->on), left = (unsigned)timer_left(&g->excluding);
    bool was_exclude = g->exclude, new_source = true;
    igmp_source *s, *next;
    g->exclude = true;
    for (s = g->sources; s != NULL; s = next) {
        next = s->next;
        if (s == first_old)
            new_source = false;
        if (s->named && new_source && was_exclude)
            timer_set(&s->wanted, type == IS_EX ? ms : left); /* (A-X-Y) = GMI, or the group timer */
        if (s->named && type == TO_EX)
            ask_for_source(s); /* Q(G,A*B), Q(G,A-Y) */
    }
    timer_set(&g->excluding, ms);
    tell_group(g); /* (*,G) is there before sources go */
    for (s = g->sources; s != NULL; s = next) {
        next = s->next;
        if (!s->named)
            source_remove(s);
    }
}

static void blocked(igmp_group *g, igmp_source *first_old)
{
    unsigned left = (unsigned)timer_left(&g->excluding);
    bool new_source = true;
    for (igmp_source *s = g->sources; s != NULL; s = s->next) {
        if (s == first_old)
            new_source = false;
        if (s->named && new_source)
            timer_set(&s->wanted, left); /* EXCLUDE: (A-X-Y) = the group timer */
        if (s->named)
            ask_for_source(s);
    }
}

static bool permitted(const igmp_link *l, uint32_t group)
{
    bool otherwise = true;
    if (!is_multicast(group) || is_link_local_group(group))
        return false;
    /* A list that permits anything denies the rest. */
    for (const prefix_rule *rule = l->settings.groups; rule != NULL; rule = rule->next)
        otherwise &= !rule->permit;
    return prefix_permits(l->settings.groups, group, otherwise);
}

void groups_permitted(igmp_link *l)
{
    for (unsigned n = 0; n < l->bucket_count; n++)
        for (igmp_group *g = l->buckets[n], *next; g != NULL; g = next) {
            next = g->next;
            if (!permitted(l, g->address))
                group_remove(g);
        }
}

void group_record(igmp_link *l, const igmp_record *given)
{
    igmp_record record = *given;
    igmp_group *g = group_find(l, record.group);
    igmp_source *first_old;
    bool is_new = g == NULL;
    bool compatible_1 = g != NULL && g->v1_host.set, compatible_2 = g != NULL && (g->v2_host.set || compatible_1);

    if (!permitted(l, record.group))
        return;
    /* Hosts of older versions are there: what these do not understand counts for less (section 7.3.2). */
    if ((compatible_2 && record.type == BLOCK) || (compatible_1 && record.type == TO_IN))
        return;
    if (compatible_2 && record.type == TO_EX)
        record.count = 0;
    if (g == NULL) {
        if (record.type == BLOCK || (record.count == 0 && record.type != IS_EX && record.type != TO_EX))
            return; /* wants nothing, as before */
        if ((g = group_new(l, record.group)) == NULL)
            return;
    }
    first_old = g->sources; /* new ones are put in front */
    if (record.type == BLOCK && !g->exclude) { /* INCLUDE: nothing new, Q(G,A*B) */
        for (unsigned n = 0; n < record.count; n++) {
            igmp_source *s = source_find(g, get_address(record.sources + 4 * n));
            if (s != NULL)
                ask_for_source(s);
        }
    } else {
        name_sources(g, &record);
        if (record.type == IS_EX || record.type == TO_EX)
            excluded(g, record.type, first_old);
        else if (record.type == BLOCK)
            blocked(g, first_old);
        else
            wanted(g, record.type);
    }
    ask_now(g);
    settle(g);
    /* When the group manager has been told: whoever waits for this line sends packets then. */
    if (is_new && group_find(l, record.group) != NULL)
        log_debug("%s: %s is wanted", l->on->name, ip_text(record.group));
}

void group_old_report(igmp_link *l, uint32_t group, unsigned version)
{
    igmp_record record = {.type = IS_EX, .group = group};
    igmp_group *g;
    group_record(l, &record);
    if ((g = group_find(l, group)) != NULL)
        timer_set(version == 1 ? &g->v1_host : &g->v2_host, link_membership_ms(l));
}

void group_leave(igmp_link *l, uint32_t group)
{
    igmp_record record = {.type = TO_IN, .group = group};
    if (l->settings.version > 1)
        group_record(l, &record);
}
