#include "igmp.h"
#include "../common/log.h"
#include <stddef.h>
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

static const struct setting {
    const char *name;
    enum { NUMBER, SECONDS, SWITCH, RULE } kind;
    size_t offset;      /* in igmp_settings */
    double least, most;
} all[] = {
#define FIELD(field) offsetof(igmp_settings, field)
    {"igmp-version", NUMBER, FIELD(version), 1, 3},
    {"robustness", NUMBER, FIELD(robustness), 1, 7},
    {"query-interval", SECONDS, FIELD(query_interval_ms), 1, 31744},
    {"response-interval", SECONDS, FIELD(response_interval_ms), 0.1, 3174.4},
    {"last-member-interval", SECONDS, FIELD(last_member_interval_ms), 0.1, 3174.4},
    {"last-member-count", NUMBER, FIELD(last_member_count), 1, 255},
    {"startup-interval", SECONDS, FIELD(startup_interval_ms), 0.1, 31744},
    {"startup-count", NUMBER, FIELD(startup_count), 1, 255},
    {"fast-leave", SWITCH, FIELD(fast_leave), 0, 0},
    {"querier-only", SWITCH, FIELD(querier_only), 0, 0},
    {"max-groups", NUMBER, FIELD(max_groups), 0, 16777216},
    {"max-sources", NUMBER, FIELD(max_sources), 0, 65535},
    {"permit", RULE, FIELD(groups), 0, 0},
    {"deny", RULE, FIELD(groups), 0, 0},
};

static const struct setting *setting_named(const char *name)
{
    for (size_t n = 0; n < sizeof all / sizeof *all; n++)
        if (strcmp(all[n].name, name) == 0)
            return &all[n];
    return NULL;
}

static void set(igmp_settings *settings, const struct setting *s, options *o, const char *value)
{
    void *field = (char *)settings + s->offset;
    unsigned number = 0;
    char *end;
    double time;
    bool on;
    switch (s->kind) {
    case NUMBER:
        if (value == NULL || !parse_number(value, (unsigned)s->least, (unsigned)s->most, &number))
            options_wrong(o, "%s %s: a number from %.0f to %.0f is allowed", s->name, value ? value : "", s->least, s->most);
        memcpy(field, &number, sizeof number);
        break;
    case SECONDS: /* with a fraction perhaps */
        time = value ? strtod(value, &end) : 0;
        if (value == NULL || end == value || *end != 0 || !(time >= s->least && time <= s->most))
            options_wrong(o, "%s %s: seconds from %g to %g are allowed", s->name, value ? value : "", s->least, s->most);
        else
            number = (unsigned)(time * 1000 + 0.5);
        memcpy(field, &number, sizeof number);
        break;
    case SWITCH:
        on = value == NULL || strcmp(value, "yes") == 0;
        if (!on && strcmp(value, "no") != 0)
            options_wrong(o, "%s %s: yes and no are allowed", s->name, value);
        memcpy(field, &on, sizeof on);
        break;
    case RULE:
        if (!prefix_add(&settings->groups, value ? value : "", s->name[0] == 'p'))
            options_wrong(o, PREFIX_WRONG, value ? value : "");
    }
}

bool igmp_option(igmp_settings *settings, options *o)
{
    const struct setting *s = setting_named(o->name);
    if (s == NULL)
        return false;
    set(settings, s, o, s->kind == SWITCH ? o->value : options_value(o));
    return true;
}

/* ---- the interfaces that were named ---------------------------------------------------------------------------- */

igmp_named *igmp_name(igmp_names *names, options *o, const char *text, const igmp_settings *settings)
{
    char *copy = strdup(text), *rest = copy, *word;
    igmp_named *more = realloc(names->list, (names->count + 1) * sizeof *more), *named;
    if (copy == NULL || more == NULL)
        die("out of memory");
    names->list = more;
    named = &more[names->count];
    *named = (igmp_named){.settings = *settings};
    /* Its list goes on after what was given for all; it must not grow theirs. */
    named->settings.groups = prefix_copy(settings->groups);
    word = strsep(&rest, ",");
    if ((named->on = iface_named(word)) == NULL)
        options_wrong(o, "%s: no name of an interface", word);
    for (unsigned n = 0; n < names->count; n++)
        if (more[n].on == named->on)
            options_wrong(o, "%s: named twice", word);
    names->count++;
    while ((word = strsep(&rest, ",")) != NULL) {
        const struct setting *s;
        char *value = strchr(word, '=');
        if (value != NULL)
            *value++ = 0;
        if ((s = setting_named(word)) == NULL)
            options_wrong(o, "%s: there is no setting \"%s\"", text, word);
        else
            set(&named->settings, s, o, value);
    }
    if (named->settings.response_interval_ms >= named->settings.query_interval_ms)
        options_wrong(o, "%s: the response interval must be shorter than the query interval",
                      named->on ? named->on->name : text);
    free(copy);
    return o->mistake[0] == 0 ? named : NULL;
}

const igmp_named *igmp_named_as(const igmp_names *names, const iface *i)
{
    for (unsigned n = 0; n < names->count; n++)
        if (names->list[n].on == i)
            return &names->list[n];
    return NULL;
}

void igmp_names_free(igmp_names *names)
{
    for (unsigned n = 0; n < names->count; n++)
        prefix_free(names->list[n].settings.groups);
    free(names->list);
    *names = (igmp_names){0};
}
