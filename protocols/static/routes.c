#include "routes.h"
#include "../common/log.h"
#include "../common/net.h"
#include "../common/options.h"
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void wrong(route_table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void wrong(route_table *t, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (t->mistake[0] == 0)
        vsnprintf(t->mistake, sizeof t->mistake, format, arguments);
    va_end(arguments);
}

static void *must_have(size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL)
        die("out of memory");
    return memory;
}

/* "239.1.1.1", "239.1.1.0/24" or "239.1.1.1-239.1.1.9". */
static bool parse_range(const char *text, range *r)
{
    const char *dash = strchr(text, '-');
    uint32_t first, end, mask;
    char begin[16];
    if (dash == NULL) {
        if (!parse_prefix(text, &first, &mask))
            return false;
        r->first = ntohl(first);
        r->last = ntohl(first | ~mask);
        return true;
    }
    if ((size_t)(dash - text) >= sizeof begin)
        return false;
    memcpy(begin, text, (size_t)(dash - text));
    begin[dash - text] = 0;
    if (!parse_address(begin, &first) || !parse_address(dash + 1, &end))
        return false;
    r->first = ntohl(first);
    r->last = ntohl(end);
    return r->first <= r->last;
}

static uint64_t size_of(const flow_range *f)
{
    uint64_t sources = f->any_source ? 1 : (uint64_t)f->sources.last - f->sources.first + 1;
    return sources * ((uint64_t)f->groups.last - f->groups.first + 1);
}

static void add_flows(route_table *t, const char *word)
{
    flow_range *f = must_have(sizeof *f), **end = &t->last->flows;
    char *copy = strdup(word), *comma;
    if (copy == NULL)
        die("out of memory");
    while (*end != NULL)
        end = &(*end)->next;
    *end = f;
    comma = strchr(copy, ',');
    f->any_source = comma == NULL;
    if (comma != NULL)
        *comma++ = 0;
    else
        comma = copy;
    if (!parse_range(comma, &f->groups) || !is_multicast(htonl(f->groups.first)) || !is_multicast(htonl(f->groups.last)))
        wrong(t, "%s: the group must be in 224.0.0.0/4: GROUP, SOURCE,GROUP; each an address, 239.1.0.0/24, or "
                 "239.1.0.1-239.1.0.9", word);
    else if (!f->any_source && (!parse_range(copy, &f->sources) || !is_host_address(htonl(f->sources.first)) ||
                           !is_host_address(htonl(f->sources.last))))
        wrong(t, "%s: the source can be none", word);
    else if (is_link_local_group(htonl(f->groups.first)))
        wrong(t, "%s: groups of 224.0.0.0/24 are not forwarded", word);
    free(copy);
    if (t->mistake[0] == 0 && t->last->join && (t->joins += size_of(f)) > MAX_JOINS)
        wrong(t, "the routes would join more than %d groups", MAX_JOINS);
}

static void add_out(route_table *t, const char *name)
{
    iface *on = iface_named(name);
    iface_list *o, **end = &t->last->out;
    if (on == NULL)
        wrong(t, "%s: no name of an interface", name);
    else if (on == t->last->in)
        wrong(t, "%s: packets do not leave by the interface that they came in on", name);
    for (; *end != NULL; end = &(*end)->next)
        if ((*end)->on == on)
            wrong(t, "%s: named twice in one route", name);
    if (t->mistake[0] != 0)
        return;
    *end = o = must_have(sizeof *o);
    o->on = on;
    for (const flow_range *f = t->last->flows; f != NULL; f = f->next)
        t->memberships += size_of(f);
    if (t->memberships > MAX_MEMBERSHIPS)
        wrong(t, "the routes come to more than %d memberships", MAX_MEMBERSHIPS);
}

void routes_end(route_table *t)
{
    if (t->last != NULL && t->last->out == NULL)
        wrong(t, "the route from %s has no interfaces behind '>'", t->last->in->name);
}

static void add_route(route_table *t, const char *name)
{
    iface *in = iface_named(name);
    route *r;
    routes_end(t);
    if (in == NULL)
        wrong(t, "%s: no name of an interface", name);
    if (t->mistake[0] != 0)
        return;
    r = must_have(sizeof *r);
    r->in = in;
    r->join = t->join;
    if (t->last == NULL)
        t->routes = r;
    else
        t->last->next = r;
    t->last = r;
    t->out_begun = false;
}

static void token(route_table *t, char *text)
{
    size_t length = strlen(text);
    if (text[length - 1] == ':') {
        text[length - 1] = 0;
        add_route(t, text);
    } else if (t->last == NULL) {
        wrong(t, "%s: a route begins with its incoming interface and a colon", text);
    } else if (strcmp(text, ">") == 0) {
        if (t->last->flows == NULL || t->out_begun)
            wrong(t, "the route from %s: '>' stands between the groups and the interfaces", t->last->in->name);
        t->out_begun = true;
    } else if (t->out_begun) {
        add_out(t, text);
    } else {
        add_flows(t, text);
    }
}

void routes_word(route_table *t, const char *word)
{
    char *copy = strdup(word), *rest, *text;
    if (copy == NULL)
        die("out of memory");
    for (text = strtok_r(copy, " \t\n", &rest); text != NULL && t->mistake[0] == 0; text = strtok_r(NULL, " \t\n", &rest))
        token(t, text);
    free(copy);
}

void routes_free(route_table *t)
{
    for (route *r = t->routes, *next; r != NULL; r = next) {
        next = r->next;
        for (flow_range *f = r->flows, *after; f != NULL; f = after) {
            after = f->next;
            free(f);
        }
        for (iface_list *o = r->out, *after; o != NULL; o = after) {
            after = o->next;
            free(o);
        }
        free(r);
    }
    memset(t, 0, sizeof *t);
}

/* ---- what routes come to ----------------------------------------------------------------------------------- */

static bool within(const range *r, uint32_t address)
{
    return r->first <= ntohl(address) && ntohl(address) <= r->last;
}

bool flow_has(const flow_range *f, uint32_t source, uint32_t group)
{
    return within(&f->groups, group) && (f->any_source || within(&f->sources, source));
}

bool route_matches(const route *r, uint32_t source, uint32_t group)
{
    for (const flow_range *f = r->flows; f != NULL; f = f->next)
        if (flow_has(f, source, group))
            return true;
    return false;
}

bool routes_keep_from(const route_table *t, uint32_t source, uint32_t group, uint32_t in, uint32_t out)
{
    bool elsewhere = false;
    for (const route *r = t->routes; r != NULL; r = r->next)
        if (route_matches(r, source, group) && route_leads_to(r, out)) {
            if (r->in->index == in)
                return false;
            elsewhere = true;
        }
    return elsewhere;
}

bool route_leads_to(const route *r, uint32_t index)
{
    for (const iface_list *o = r->out; o != NULL; o = o->next)
        if (o->on->index == index && index != 0)
            return true;
    return false;
}

/* All flows of a route, on one interface. */
static wanted_flow *add_wanted(wanted_flow *at, const route *r, iface *on)
{
    for (const flow_range *f = r->flows; f != NULL; f = f->next)
        for (uint64_t group = f->groups.first; group <= f->groups.last; group++) {
            if (f->any_source)
                *at++ = (wanted_flow){on, 0, htonl((uint32_t)group)};
            else
                for (uint64_t source = f->sources.first; source <= f->sources.last; source++)
                    *at++ = (wanted_flow){on, htonl((uint32_t)source), htonl((uint32_t)group)};
        }
    return at;
}

int wanted_order(const wanted_flow *a, const wanted_flow *b)
{
    int by_name = strcmp(a->on->name, b->on->name); /* of different interfaces never 0 */
    if (by_name != 0)
        return by_name;
    if (a->group != b->group)
        return ntohl(a->group) < ntohl(b->group) ? -1 : 1;
    return a->source == b->source ? 0 : ntohl(a->source) < ntohl(b->source) ? -1 : 1;
}

static int in_order(const void *a, const void *b) { return wanted_order(a, b); }

/* Brings them into order, each once; gives how many are left. */
static size_t sorted(wanted_flow *list, size_t count)
{
    size_t kept = 0;
    qsort(list, count, sizeof *list, in_order);
    for (size_t n = 0; n < count; n++)
        if (kept == 0 || wanted_order(&list[kept - 1], &list[n]) != 0)
            list[kept++] = list[n];
    return kept;
}

wanted_flow *routes_memberships(const route_table *t, size_t *count)
{
    wanted_flow *list = must_have(((size_t)t->memberships + 1) * sizeof *list), *at = list;
    for (const route *r = t->routes; r != NULL; r = r->next)
        for (const iface_list *o = r->out; o != NULL; o = o->next)
            at = add_wanted(at, r, o->on);
    *count = sorted(list, (size_t)(at - list));
    return list;
}

wanted_flow *routes_joins(const route_table *t, size_t *count)
{
    wanted_flow *list = must_have(((size_t)t->joins + 1) * sizeof *list), *at = list;
    for (const route *r = t->routes; r != NULL; r = r->next)
        if (r->join)
            at = add_wanted(at, r, r->in);
    *count = sorted(list, (size_t)(at - list));
    return list;
}

void wanted_without(const wanted_flow *list, size_t count, const wanted_flow *other, size_t other_count,
                    void (*each)(const wanted_flow *w))
{
    size_t m = 0;
    for (size_t n = 0; n < count; n++) {
        while (m < other_count && wanted_order(&other[m], &list[n]) < 0)
            m++;
        if (m == other_count || wanted_order(&other[m], &list[n]) != 0)
            each(&list[n]);
    }
}
