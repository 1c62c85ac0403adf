#include "igmp.h"
#include "../common/log.h"
#include <stdlib.h>
#include <string.h>

const igmp_settings igmp_defaults = {
    .version = 3,
    .robustness = 2,
    .query_interval_ms = 125000,
    .response_interval_ms = 10000,
    .last_member_interval_ms = 1000,
    .max_groups = 65536,
    .max_sources = 256,
};

const char igmp_settings_help[] =
    "  --igmp-version N            version of the queries: 1, 2 or 3 (3)\n"
    "  --robustness N              how many packets in a row may get lost, plus one: 1 to 7 (2)\n"
    "  --query-interval S          seconds between general queries (125)\n"
    "  --response-interval S       time that hosts have for an answer (10)\n"
    "  --last-member-interval S    the same when a host has left (1)\n"
    "  --last-member-count N       queries when a host has left (robustness)\n"
    "  --startup-interval S        seconds between the first queries (a quarter of the query interval)\n"
    "  --startup-count N           number of first queries (robustness)\n"
    "  --fast-leave                a leave counts at once, without a query\n"
    "  --querier-only              members count only while this router is the querier; mgm-proxy has it on, =no ends it\n"
    "  --max-groups N              groups on an interface (65536)\n"
    "  --max-sources N             sources in a group (256)\n"
    "  --permit PREFIX             the access list for groups: the first entry that fits counts;\n"
    "  --deny PREFIX               where none fits, a list with a permit denies\n";

/* Seconds, with a fraction perhaps, in milliseconds. */
static unsigned seconds(const char *name, const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != 0 || !(value >= least && value <= most))
        usage_error("%s %s: seconds from %g to %g are allowed", name, text, least, most);
    return (unsigned)(value * 1000 + 0.5);
}

static unsigned number(const char *name, const char *text, unsigned least, unsigned most)
{
    unsigned value;
    if (!parse_number(text, least, most, &value))
        usage_error("%s %s: a number from %u to %u is allowed", name, text, least, most);
    return value;
}

static bool is_switch(const char *name) { return strcmp(name, "fast-leave") == 0 || strcmp(name, "querier-only") == 0; }

bool igmp_setting_needs_value(const char *name) { return !is_switch(name); }

bool igmp_set(igmp_settings *s, const char *name, const char *value)
{
    if (is_switch(name)) {
        if (value != NULL && strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
            usage_error("%s %s: yes and no are allowed", name, value);
        *(name[0] == 'f' ? &s->fast_leave : &s->querier_only) = value == NULL || value[0] == 'y';
        return true;
    }
    if (value == NULL)
        value = "";
    if (strcmp(name, "igmp-version") == 0)
        s->version = number(name, value, 1, 3);
    else if (strcmp(name, "robustness") == 0)
        s->robustness = number(name, value, 1, 7);
    else if (strcmp(name, "query-interval") == 0)
        s->query_interval_ms = seconds(name, value, 1, 31744);
    else if (strcmp(name, "response-interval") == 0)
        s->response_interval_ms = seconds(name, value, 0.1, 3174.4);
    else if (strcmp(name, "last-member-interval") == 0)
        s->last_member_interval_ms = seconds(name, value, 0.1, 3174.4);
    else if (strcmp(name, "last-member-count") == 0)
        s->last_member_count = number(name, value, 1, 255);
    else if (strcmp(name, "startup-interval") == 0)
        s->startup_interval_ms = seconds(name, value, 0.1, 31744);
    else if (strcmp(name, "startup-count") == 0)
        s->startup_count = number(name, value, 1, 255);
    else if (strcmp(name, "max-groups") == 0)
        s->max_groups = number(name, value, 0, 16777216);
    else if (strcmp(name, "max-sources") == 0)
        s->max_sources = number(name, value, 0, 65535);
    else if (strcmp(name, "permit") == 0 || strcmp(name, "deny") == 0)
        prefix_add(&s->groups, value, name[0] == 'p');
    else
        return false;
    return true;
}

/* The list of an interface goes on after what was given for all; it must not grow theirs. */
static prefix_rule *copy_rules(const prefix_rule *from)
{
    prefix_rule *first = NULL, **end = &first;
    for (; from != NULL; from = from->next) {
        if ((*end = malloc(sizeof **end)) == NULL)
            die("out of memory");
        **end = *from;
        (*end)->next = NULL;
        end = &(*end)->next;
    }
    return first;
}

iface *igmp_parse_interface(const char *text, igmp_settings *settings)
{
    char *copy = strdup(text), *rest = copy, *word;
    iface *i;
    if (copy == NULL)
        die("out of memory");
    settings->groups = copy_rules(settings->groups);
    word = strsep(&rest, ",");
    if ((i = iface_named(word)) == NULL)
        usage_error("%s: no name of an interface", word);
    while ((word = strsep(&rest, ",")) != NULL) {
        char *value = strchr(word, '=');
        if (value != NULL)
            *value++ = 0;
        if (!igmp_set(settings, word, value))
            usage_error("%s: there is no setting \"%s\"", text, word);
    }
    if (settings->response_interval_ms >= settings->query_interval_ms)
        usage_error("%s: the response interval must be shorter than the query interval", i->name);
    free(copy);
    return i;
}
