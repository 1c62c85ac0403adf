#include "host.h"
#include "../common/log.h"
#include "../common/loop.h"
#include "../common/net.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

host_settings host_settings_used = {.version = 3, .robustness = 2, .unsolicited_interval_ms = 1000};

typedef struct host_source {
    struct host_source *next;
    uint32_t address;
    bool wanted;       /* otherwise it has been given up, and that is still to be reported */
    bool asked;        /* by a group-and-source-specific query that waits for its answer */
    unsigned left;     /* how often the change is still to be reported */
} host_source;

typedef struct host_group {
    struct host_group *next;     /* in its bucket */
    struct host_group *next_changed;
    uint32_t address;
    bool any, changed;           /* changed: it is in the list of changes */
    unsigned left;               /* how often a change between any and a list is still to be reported */
    bool asked_for_sources;      /* the answer that waits is about the sources marked as asked alone */
    timer answer;
    host_source *sources;
} host_group;

static iface *upstream;
static int reports = -1;
static host_send *send_report;
static bool active;
static timer report_changes, answer_all, v1_querier, v2_querier;
static host_group *changes;
static host_group **buckets;
static unsigned bucket_count, group_count;

static unsigned version(void)
{
    unsigned lowest = v1_querier.set ? 1 : v2_querier.set ? 2 : 3;
    return lowest < host_settings_used.version ? lowest : host_settings_used.version;
}

/* ---- lists --------------------------------------------------------------------------------------------- */

static host_group **bucket_of(uint32_t group)
{
    return &buckets[(group * 2654435761u >> 8) & (bucket_count - 1)];
}

static host_group *find(uint32_t group)
{
    host_group *g = bucket_count ? *bucket_of(group) : NULL;
    while (g != NULL && g->address != group)
        g = g->next;
    return g;
}

static host_source *find_source(const host_group *g, uint32_t address)
{
    host_source *s = g->sources;
    while (s != NULL && s->address != address)
        s = s->next;
    return s;
}

static bool wanted(const host_group *g)
{
    if (g->any)
        return true;
    for (const host_source *s = g->sources; s != NULL; s = s->next)
        if (s->wanted)
            return true;
    return false;
}

static void answer_for_group(void *with);

static host_group *add(uint32_t group)
{
    host_group *g;
    if (group_count >= bucket_count) {
        unsigned old = bucket_count, count = old ? 2 * old : 64;
        host_group **more = calloc(count, sizeof *more), **was = buckets;
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
    timer_init(&g->answer, answer_for_group, g);
    g->next = *bucket_of(group);
    *bucket_of(group) = g;
    group_count++;
    return g;
}

static void drop(host_group *gone)
{
    host_group **link = bucket_of(gone->address);
    while (*link != gone)
        link = &(*link)->next;
    *link = gone->next;
    timer_clear(&gone->answer);
    group_count--;
    free(gone);
}

/* Forgets the sources that were given up and have been reported often enough. */
static void forget_sources(host_group *g)
{
    host_source **link = &g->sources;
    while (*link != NULL) {
        host_source *s = *link;
        if (s->wanted || s->left > 0) {
            link = &s->next;
            continue;
        }
        *link = s->next;
        free(s);
    }
}

/* ---- sending ---------------------------------------------------------------------------------------------- */

static uint8_t message[IGMP_MAX_MESSAGE];
static size_t message_size; /* of the report that is being put together; 0: none */

static void send_to(uint32_t to, const uint8_t *octets, size_t size)
{
    static log_limit limit;
    if (!send_report(reports, upstream, 0, to, octets, size))
        log_limited(&limit, LEVEL_WARN, "%s: sending a report: %s", upstream->name, strerror(errno));
}

static void send_old(enum igmp_type type, uint32_t group)
{
    uint8_t octets[8];
    send_to(type == IGMP_V2_LEAVE ? htonl(INADDR_ALLRTRS_GROUP) : group, octets, igmp_write_old(octets, type, group));
}

static void flush(void)
{
    if (message_size == 0)
        return;
    igmp_end_report(message, message_size);
    send_to(inet_addr("224.0.0.22"), message, message_size);
    message_size = 0;
}

/* Records are packed into as few packets as the link takes. A list that does not fit into one is divided (section 4.2.16). */
static void put_record(enum igmp_record_type type, uint32_t group, const uint32_t *sources, unsigned count)
{
    size_t room = (upstream->mtu < 100 ? 100 : upstream->mtu > 9000 ? 9000 : upstream->mtu) - 24;
    unsigned at = 0;
    do {
        unsigned part = count - at;
        if (part > (room - 16) / 4)
            part = (unsigned)((room - 16) / 4);
        if (message_size != 0 && message_size + 8 + 4 * part > room)
            flush();
        if (message_size == 0)
            message_size = igmp_begin_report(message);
        message_size = igmp_add_record(message, message_size, type, group, part ? sources + at : NULL, part);
        at += part;
    } while (at < count);
}

/* Collects the sources of a group that a record is to name; gives their number. */
enum which { WANTED, ASKED, ALLOWED, BLOCKED };
static unsigned collect(const host_group *g, enum which which, uint32_t **list)
{
    static uint32_t *room;
    static unsigned size;
    unsigned count = 0;
    for (const host_source *s = g->sources; s != NULL; s = s->next) {
        if (which == WANTED ? !s->wanted : which == ASKED ? !s->wanted || !s->asked
            : which == ALLOWED ? !s->wanted || s->left == 0 : s->wanted || s->left == 0)
            continue;
        if (count == size) {
            uint32_t *more = realloc(room, (size + 64) * sizeof *more);
            if (more == NULL)
                break;
            room = more;
            size += 64;
        }
        room[count++] = s->address;
    }
    *list = room;
    return count;
}

/* ---- answers (section 5.2) ------------------------------------------------------------------------------------ */

static void put_state(const host_group *g)
{
    uint32_t *list;
    unsigned count;
    if (g->any)
        put_record(IS_EX, g->address, NULL, 0);
    else if ((count = collect(g, WANTED, &list)) > 0)
        put_record(IS_IN, g->address, list, count);
}

static void answer_for_all(void *with)
{
    (void)with;
    for (unsigned n = 0; n < bucket_count; n++)
        for (const host_group *g = buckets[n]; g != NULL; g = g->next)
            put_state(g);
    flush();
}

/* In version 3 the answer to a specific query, in older ones that to any. */
static void answer_for_group(void *with)
{
    host_group *g = with;
    uint32_t *list;
    unsigned count;
    if (version() < 3) {
        if (wanted(g))
            send_old(version() == 1 ? IGMP_V1_REPORT : IGMP_V2_REPORT, g->address);
    } else if (!g->asked_for_sources || g->any) {
        put_state(g);
    } else if ((count = collect(g, ASKED, &list)) > 0) {
        put_record(IS_IN, g->address, list, count);
    }
    flush();
    g->asked_for_sources = false;
    for (host_source *s = g->sources; s != NULL; s = s->next)
        s->asked = false;
}

static void sooner(timer *t, unsigned ms)
{
    if (!t->set || timer_left(t) > ms)
        timer_set(t, ms);
}

static void heard_specific(const igmp_message *m, unsigned delay)
{
    host_group *g = find(m->group);
    if (g == NULL || !wanted(g) || (answer_all.set && timer_left(&answer_all) <= delay))
        return;
    if (m->count == 0 || (g->answer.set && !g->asked_for_sources) || g->any) {
        g->asked_for_sources = false; /* for anything that is wanted of the group */
    } else {
        bool any = false;
        for (unsigned n = 0; n < m->count; n++) {
            host_source *s = find_source(g, get_address(m->sources + 4 * n));
            if (s != NULL && s->wanted)
                s->asked = any = true;
        }
        if (!any)
            return;
        g->asked_for_sources = true;
    }
    sooner(&g->answer, delay);
}

/* An older querier, or none any more: what waits to be sent in the other version is not sent (section 7.2.1). */
static void other_version(unsigned before)
{
    if (version() == before)
        return;
    log_info("%s: reporting in IGMPv%u", upstream->name, version());
    timer_clear(&answer_all);
    timer_clear(&report_changes);
    for (unsigned n = 0; n < bucket_count; n++)
        for (host_group *g = buckets[n]; g != NULL; g = g->next)
            timer_clear(&g->answer);
    if (changes != NULL)
        timer_set(&report_changes, 0);
}

static void old_querier_is_gone(void *with)
{
    (void)with;
    log_info("%s: reporting in IGMPv%u", upstream->name, version());
}

void host_set(const host_settings *settings)
{
    unsigned before = version();
    host_settings_used = *settings;
    if (upstream != NULL)
        other_version(before);
}

void host_heard(const igmp_message *m)
{
    unsigned before = version(), delay = random_below(m->max_response_ms) + 1;
    if (!active)
        return;
    if (m->type != IGMP_QUERY) {
        /* Another host of the link wants the group as well: in older versions one answer is enough. */
        host_group *g = m->type == IGMP_V1_REPORT || m->type == IGMP_V2_REPORT ? find(m->group) : NULL;
        if (g != NULL && version() < 3)
            timer_clear(&g->answer);
        return;
    }
    if (m->version < 3) /* [Older Version Querier Present Timeout], with the default query interval */
        timer_set(m->version == 1 ? &v1_querier : &v2_querier, host_settings_used.robustness * 125000 + m->max_response_ms);
    other_version(before);
    if (m->group != 0 && version() == 3) {
        heard_specific(m, delay);
    } else if (version() == 3) {
        if (group_count > 0)
            sooner(&answer_all, delay);
    } else {
        for (unsigned n = 0; n < bucket_count; n++)
            for (host_group *g = buckets[n]; g != NULL; g = g->next)
                if (m->group == 0 || m->group == g->address)
                    sooner(&g->answer, random_below(m->max_response_ms) + 1);
    }
}

/* ---- changes (section 5.1) -------------------------------------------------------------------------------------- */

static void put_change(host_group *g)
{
    uint32_t *list;
    unsigned count;
    if (version() < 3) {
        /* A change of sources says nothing there; the last leave is said once. */
        if (wanted(g))
            send_old(version() == 1 ? IGMP_V1_REPORT : IGMP_V2_REPORT, g->address);
        else if (version() == 2)
            send_old(IGMP_V2_LEAVE, g->address);
        if (!wanted(g))
            g->left = 1;
        for (host_source *s = g->sources; s != NULL; s = s->next)
            s->left = !wanted(g) ? 1 : s->left;
    } else if (g->left > 0) {
        count = g->any ? 0 : collect(g, WANTED, &list);
        put_record(g->any ? TO_EX : TO_IN, g->address, count ? list : NULL, count);
    } else {
        if ((count = collect(g, ALLOWED, &list)) > 0)
            put_record(ALLOW, g->address, list, count);
        if ((count = collect(g, BLOCKED, &list)) > 0)
            put_record(BLOCK, g->address, list, count);
    }
    if (g->left > 0)
        g->left--;
    for (host_source *s = g->sources; s != NULL; s = s->next)
        if (s->left > 0)
            s->left--;
}

/* Reports all changes that are not reported often enough, and again a random time later. */
static void changes_now(void *with)
{
    host_group *all = changes, *next;
    (void)with;
    changes = NULL;
    for (host_group *g = all; g != NULL; g = next) {
        bool again;
        next = g->next_changed;
        if (active)
            put_change(g);
        again = active && g->left > 0;
        for (const host_source *s = g->sources; s != NULL; s = s->next)
            again |= active && s->left > 0;
        g->changed = again;
        if (again) {
            g->next_changed = changes;
            changes = g;
            continue;
        }
        g->left = 0;
        for (host_source *s = g->sources; s != NULL; s = s->next)
            s->left = 0;
        forget_sources(g);
        if (!wanted(g))
            drop(g);
    }
    flush();
    if (changes != NULL)
        timer_set(&report_changes, random_below(host_settings_used.unsolicited_interval_ms) + 1);
}

static void note_change(host_group *g)
{
    if (!g->changed) {
        g->changed = true;
        g->next_changed = changes;
        changes = g;
    }
    timer_set(&report_changes, 0); /* once for all changes of this turn of the loop */
}

void host_want(uint32_t group, bool any, const uint32_t *sources, unsigned count)
{
    static log_limit no_memory;
    host_group *g = find(group);
    unsigned times = host_settings_used.robustness;
    bool changed = false;
    if (g == NULL && !any && count == 0)
        return;
    if (g == NULL && (g = add(group)) == NULL) {
        log_limited(&no_memory, LEVEL_ERROR, "%s: no memory for %s", upstream->name, ip_text(group));
        return;
    }
    if (any)
        count = 0; /* from anybody: the list does not matter */
    if (any != g->any) {
        g->any = any;
        g->left = times;
        changed = true;
    }
    for (host_source *s = g->sources; s != NULL; s = s->next) {
        bool still = false;
        for (unsigned n = 0; n < count && !still; n++)
            still = sources[n] == s->address;
        if (s->wanted && !still) {
            s->wanted = false;
            s->left = any ? 0 : times;
            changed = true;
        }
    }
    for (unsigned n = 0; n < count; n++) {
        host_source *s = find_source(g, sources[n]);
        if (s == NULL && (s = calloc(1, sizeof *s)) != NULL) {
            s->address = sources[n];
            s->next = g->sources;
            g->sources = s;
        }
        if (s != NULL && !s->wanted) {
            s->wanted = true;
            s->left = times;
            changed = true;
        }
    }
    if (changed)
        note_change(g);
}

/* ---- start and end ---------------------------------------------------------------------------------------------- */

void host_start(iface *on, int fd, host_send *send)
{
    upstream = on;
    reports = fd;
    send_report = send;
    timer_init(&report_changes, changes_now, NULL);
    timer_init(&answer_all, answer_for_all, NULL);
    timer_init(&v1_querier, old_querier_is_gone, NULL);
    timer_init(&v2_querier, old_querier_is_gone, NULL);
    host_changed();
}

/* A link that is there again knows nothing: all groups are reported as if they were new. */
void host_changed(void)
{
    bool now = upstream->index != 0 && upstream->up && upstream->address != 0;
    if (now && !active) {
        timer_clear(&v1_querier);
        timer_clear(&v2_querier);
        for (unsigned n = 0; n < bucket_count; n++)
            for (host_group *g = buckets[n]; g != NULL; g = g->next) {
                g->left = g->any ? host_settings_used.robustness : 0;
                for (host_source *s = g->sources; s != NULL; s = s->next)
                    s->left = s->wanted ? host_settings_used.robustness : 0;
                note_change(g);
            }
    }
    active = now;
}

void host_leave_all(void)
{
    for (unsigned n = 0; n < bucket_count; n++)
        for (host_group *g = buckets[n]; g != NULL; g = g->next)
            host_want(g->address, false, NULL, 0);
    changes_now(NULL);
}

void host_print(void)
{
    log_line(LEVEL_INFO, "%s: %s in IGMPv%u, %u groups", upstream->name, active ? "reporting" : "not active", version(),
             group_count);
    for (unsigned n = 0; n < bucket_count; n++)
        for (const host_group *g = buckets[n]; g != NULL; g = g->next) {
            uint32_t *list;
            unsigned count = g->any ? 0 : collect(g, WANTED, &list);
            log_line(LEVEL_INFO, "%s: %s from %s", upstream->name, ip_text(g->address),
                     g->any ? "anybody" : count == 1 ? ip_text(list[0]) : "sources");
            for (unsigned at = 0; count > 1 && at < count; at++)
                log_line(LEVEL_INFO, "%s: %s source %s", upstream->name, ip_text(g->address), ip_text(list[at]));
        }
}
