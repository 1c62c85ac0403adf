#include "routes.h"
#include "../common/log.h"
#include "../common/net.h"
#include "../common/options.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

route *routes;
static route *last;
static bool out_begun; /* the '>' of the last route has been read */
static uint64_t memberships;

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

static void add_flows(const char *word)
{
    flow_range *f = must_have(sizeof *f), **end = &last->flows;
    char *copy = strdup(word), *comma;
    if (copy == NULL)
        die("out of memory");
    comma = strchr(copy, ',');
    f->any_source = comma == NULL;
    if (comma != NULL)
        *comma++ = 0;
    else
        comma = copy;
    if (!parse_range(comma, &f->groups) || !is_multicast(htonl(f->groups.first)) || !is_multicast(htonl(f->groups.last)))
        usage_error("%s: the group must be in 224.0.0.0/4: GROUP, SOURCE,GROUP; each an address, 239.1.0.0/24, or "
                    "239.1.0.1-239.1.0.9",
                    word);
    if (!f->any_source && (!parse_range(copy, &f->sources) || !is_host_address(htonl(f->sources.first)) ||
                           !is_host_address(htonl(f->sources.last))))
        usage_error("%s: the source can be none", word);
    if (is_link_local_group(htonl(f->groups.first)))
        usage_error("%s: groups of 224.0.0.0/24 are not forwarded", word);
    free(copy);
    while (*end != NULL)
        end = &(*end)->next;
    *end = f;
}

static uint64_t size_of(const flow_range *f)
{
    uint64_t sources = f->any_source ? 1 : (uint64_t)f->sources.last - f->sources.first + 1;
    return sources * ((uint64_t)f->groups.last - f->groups.first + 1);
}

static void add_out(const char *name)
{
    iface_list *o = must_have(sizeof *o), **end = &last->out;
    o->on = iface_named(name);
    if (o->on == NULL)
        usage_error("%s: no name of an interface", name);
    if (o->on == last->in)
        usage_error("%s: packets do not leave by the interface that they came in on", name);
    for (; *end != NULL; end = &(*end)->next)
        if ((*end)->on == o->on)
            usage_error("%s: named twice in one route", name);
    *end = o;
    for (const flow_range *f = last->flows; f != NULL; f = f->next)
        memberships += size_of(f);
    if (memberships > MAX_MEMBERSHIPS)
        usage_error("the routes come to more than %d memberships", MAX_MEMBERSHIPS);
}

void routes_end(void)
{
    if (last != NULL && last->out == NULL)
        usage_error("the route from %s has no interfaces behind '>'", last->in->name);
}

static void token(char *text)
{
    size_t length = strlen(text);
    if (text[length - 1] == ':') {
        route *r = must_have(sizeof *r);
        routes_end();
        text[length - 1] = 0;
        if ((r->in = iface_named(text)) == NULL)
            usage_error("%s: no name of an interface", text);
        if (last == NULL)
            routes = r;
        else
            last->next = r;
        last = r;
        out_begun = false;
    } else if (last == NULL) {
        usage_error("%s: a route begins with its incoming interface and a colon", text);
    } else if (strcmp(text, ">") == 0) {
        if (last->flows == NULL || out_begun)
            usage_error("the route from %s: '>' stands between the groups and the interfaces", last->in->name);
        out_begun = true;
    } else if (out_begun) {
        add_out(text);
    } else {
        add_flows(text);
    }
}

void routes_word(const char *word)
{
    char *copy = strdup(word), *rest, *text;
    if (copy == NULL)
        die("out of memory");
    for (text = strtok_r(copy, " \t\n", &rest); text != NULL; text = strtok_r(NULL, " \t\n", &rest))
        token(text);
    free(copy);
}

static bool within(const range *r, uint32_t address)
{
    return r->first <= ntohl(address) && ntohl(address) <= r->last;
}

bool route_matches(const route *r, uint32_t source, uint32_t group)
{
    for (const flow_range *f = r->flows; f != NULL; f = f->next)
        if (within(&f->groups, group) && (f->any_source || within(&f->sources, source)))
            return true;
    return false;
}

bool route_leads_to(const route *r, uint32_t index)
{
    for (const iface_list *o = r->out; o != NULL; o = o->next)
        if (o->on->index == index && index != 0)
            return true;
    return false;
}
