/* mgm-pim: a PIM router, source-specific or dense on each interface, with IGMP beside it. */
#include "../common/log.h"
#include "../common/loop.h"
#include "../common/manager.h"
#include "../common/options.h"
#include "../igmp/igmp.h"
#include "router.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option {
    const char *name, *help;
    size_t offset;        /* in struct settings, in milliseconds */
    double least, most;   /* seconds */
} times[] = {
#define TIME(name, field, least, most, help) {name, help, offsetof(struct settings, field), least, most}
    TIME("hello-interval", hello_period, 0.1, 18000, "between hellos (30)"),
    TIME("triggered-hello", triggered_hello, 0, 5, "at most, until a new neighbour is greeted (5)"),
    TIME("join-interval", join_period, 0.1, 18000, "between joins for the same source (60)"),
    TIME("propagation-delay", propagation, 0, 32, "that messages take on the link (0.5)"),
    TIME("override-interval", override_interval, 0, 65, "in which another router's prune is overridden (2.5)"),
    TIME("assert-time", assert_time, 1, 3600, "that an assert holds (180)"),
    TIME("graft-retry", graft_retry, 0.1, 60, "until a graft is sent again (3)"),
    TIME("prune-holdtime", prune_hold, 1, 60000, "that a prune holds (210)"),
    TIME("refresh-interval", refresh_interval, 0, 255, "between state refreshes, 0 for none (60)"),
    TIME("source-lifetime", source_lifetime, 1, 3600, "that a silent source still counts as active (210)"),
};

static void help(void)
{
    printf("usage: mgm-pim [OPTION...] INTERFACE[,ssm|dense][,IGMP-SETTING[=VALUE]...]...\n\n"
           "A multicast router on mgm.h: PIM in source-specific mode (the default) or dense mode, and IGMP.\n\n"
           "  --dense, --ssm              the mode of the interfaces that follow\n"
           "  --priority N                for the election of the designated router (1)\n"
           "  --max-entries N             sources and groups that are kept (65536)\n");
    for (size_t n = 0; n < sizeof times / sizeof *times; n++)
        printf("  --%-17s SECONDS   %s\n", times[n].name, times[n].help);
    printf("  --igmp yes|no               IGMP is part of this program (yes; no with MGM_HOST, where mgm-igmp runs beside it)\n"
           "%s"
           "  --component N               the component id to register with (1)\n"
           "  --config FILE               reads words from a file, as they would stand here; SIGHUP: anew\n"
           "  --log LEVEL                 off, error, warn, info or debug (info)\n"
           "  --help, --version\n",
           igmp_settings_help);
    exit(0);
}

static bool time_option(options *o, struct settings *settings)
{
    for (size_t n = 0; n < sizeof times / sizeof *times; n++)
        if (strcmp(o->name, times[n].name) == 0) {
            const char *text = options_value(o);
            char *end;
            double value = strtod(text, &end);
            unsigned ms = 0;
            if (end == text || *end != 0 || !(value >= times[n].least && value <= times[n].most))
                options_wrong(o, "--%s %s: seconds from %g to %g are allowed", o->name, text, times[n].least, times[n].most);
            else
                ms = (unsigned)(value * 1000 + 0.5);
            memcpy((char *)settings + times[n].offset, &ms, sizeof ms);
            return true;
        }
    return false;
}

/* "eth1", "eth1,dense" or "eth1,dense,fast-leave": what is not ours is a setting of IGMP. */
static void read_interface(igmp_names *names, options *o, enum mode mode, const igmp_settings *settings)
{
    char *copy = strdup(o->word), *rest = copy, *part, *kept = calloc(1, strlen(o->word) + 1);
    igmp_named *named;
    if (copy == NULL || kept == NULL)
        die("out of memory");
    while ((part = strsep(&rest, ",")) != NULL) {
        if (*kept != 0 && strcmp(part, "dense") == 0) {
            mode = MODE_DENSE;
        } else if (*kept != 0 && strcmp(part, "ssm") == 0) {
            mode = MODE_SPARSE;
        } else {
            if (*kept != 0)
                strcat(kept, ",");
            strcat(kept, part);
        }
    }
    if ((named = igmp_name(names, o, kept, settings)) != NULL)
        named->mode = (int)mode;
    free(kept);
    free(copy);
}

/* What the words say. */
typedef struct configuration {
    struct settings settings;
    igmp_names names;
    bool igmp;
    DWORD component;
} configuration;

static int arguments;
static char **words;
static bool with_igmp;

static configuration read_words(options *o)
{
    configuration c = {.settings = default_settings, .igmp = getenv("MGM_HOST") == NULL, .component = 1};
    igmp_settings igmp = igmp_defaults;
    enum mode mode = MODE_SPARSE;
    while (options_next(o)) {
        if (o->name == NULL) {
            read_interface(&c.names, o, mode, &igmp);
        } else if (strcmp(o->name, "help") == 0 && !o->again) {
            help();
        } else if (strcmp(o->name, "dense") == 0 || strcmp(o->name, "ssm") == 0) {
            mode = o->name[0] == 'd' ? MODE_DENSE : MODE_SPARSE;
        } else if (strcmp(o->name, "priority") == 0) {
            c.settings.priority = options_number(o, 0, 0xffffffff);
        } else if (strcmp(o->name, "max-entries") == 0) {
            c.settings.max_entries = options_number(o, 1, 1u << 24);
        } else if (strcmp(o->name, "igmp") == 0) {
            const char *value = options_value(o);
            c.igmp = strcmp(value, "yes") == 0;
            if (!c.igmp && strcmp(value, "no") != 0)
                options_wrong(o, "--igmp %s: yes and no are allowed", value);
        } else if (!options_common(o, &c.component) && !time_option(o, &c.settings) && !igmp_option(&igmp, o)) {
            options_wrong(o, "there is no option --%s", o->name);
        }
    }
    prefix_free(igmp.groups);
    if (o->mistake[0] == 0 && c.names.count == 0)
        options_wrong(o, "which interfaces?");
    return c;
}

static void read_again(void)
{
    configuration c;
    options o;
    options_again(&o, arguments, words);
    c = read_words(&o);
    if (o.mistake[0] == 0 && c.igmp != with_igmp)
        options_wrong(&o, "--igmp needs a restart");
    if (o.mistake[0] == 0) {
        router_set(&c.settings);
        if (with_igmp)
            igmp_use_all(c.names.list, c.names.count);
        router_use_all(c.names.list, c.names.count);
    }
    igmp_names_free(&c.names);
    options_told(&o);
    options_end(&o);
}

int main(int argc, char **argv)
{
    configuration c;
    options o;
    int status;

    log_program = "mgm-pim";
    arguments = argc;
    words = argv;
    loop_init();
    options_begin(&o, argc, argv);
    c = read_words(&o);
    options_end(&o);
    with_igmp = c.igmp;
    router_use_all(c.names.list, c.names.count);
    if (with_igmp)
        igmp_use_all(c.names.list, c.names.count);
    igmp_names_free(&c.names);
    manager_environment();
    iface_start();
    loop_on_signal(SIGUSR1, router_print);
    loop_on_signal(SIGHUP, read_again);
    router_start(&c.settings, c.component);
    if (with_igmp)
        igmp_start(c.component);
    log_info("ready");
    status = loop_run();
    if (with_igmp)
        igmp_stop();
    router_stop();
    return status;
}
