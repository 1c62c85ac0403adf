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
           "  --config FILE               reads words from a file, as they would stand here\n"
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
            unsigned ms;
            if (end == text || *end != 0 || !(value >= times[n].least && value <= times[n].most))
                usage_error("--%s %s: seconds from %g to %g are allowed", o->name, text, times[n].least, times[n].most);
            ms = (unsigned)(value * 1000 + 0.5);
            memcpy((char *)settings + times[n].offset, &ms, sizeof ms);
            return true;
        }
    return false;
}

/* "eth1", "eth1,dense" or "eth1,dense,fast-leave": what is not ours is a setting of IGMP. */
static iface *read_interface(const char *word, enum mode *mode, igmp_settings *igmp)
{
    char *copy = strdup(word), *rest = copy, *part, *kept = calloc(1, strlen(word) + 1);
    iface *i;
    if (copy == NULL || kept == NULL)
        die("out of memory");
    while ((part = strsep(&rest, ",")) != NULL) {
        if (*kept != 0 && strcmp(part, "dense") == 0) {
            *mode = MODE_DENSE;
        } else if (*kept != 0 && strcmp(part, "ssm") == 0) {
            *mode = MODE_SPARSE;
        } else {
            if (*kept != 0)
                strcat(kept, ",");
            strcat(kept, part);
        }
    }
    i = igmp_parse_interface(kept, igmp);
    free(kept);
    free(copy);
    return i;
}

int main(int argc, char **argv)
{
    struct settings settings = default_settings;
    igmp_settings igmp = igmp_defaults;
    enum mode mode = MODE_SPARSE;
    bool with_igmp = getenv("MGM_HOST") == NULL, any = false;
    DWORD component = 1;
    options o;
    int status;

    log_program = "mgm-pim";
    loop_init();
    options_begin(&o, argc, argv);
    while (options_next(&o)) {
        if (o.name == NULL) {
            igmp_settings own = igmp;
            enum mode this_mode = mode;
            iface *i = read_interface(o.word, &this_mode, &own);
            router_use(i, this_mode);
            igmp_use(i, &own);
            any = true;
        } else if (strcmp(o.name, "help") == 0) {
            help();
        } else if (strcmp(o.name, "dense") == 0 || strcmp(o.name, "ssm") == 0) {
            mode = o.name[0] == 'd' ? MODE_DENSE : MODE_SPARSE;
        } else if (strcmp(o.name, "priority") == 0) {
            settings.priority = options_number(&o, 0, 0xffffffff);
        } else if (strcmp(o.name, "max-entries") == 0) {
            settings.max_entries = options_number(&o, 1, 1u << 24);
        } else if (strcmp(o.name, "igmp") == 0) {
            with_igmp = strcmp(options_value(&o), "yes") == 0;
            if (!with_igmp && strcmp(o.value, "no") != 0)
                usage_error("--igmp %s: yes and no are allowed", o.value);
        } else if (!options_common(&o, &component) && !time_option(&o, &settings) &&
                   !igmp_set(&igmp, o.name, igmp_setting_needs_value(o.name) ? options_value(&o) : o.value)) {
            usage_error("there is no option --%s", o.name);
        }
    }
    if (!any)
        usage_error("which interfaces?");
    manager_environment();
    iface_start();
    loop_on_signal(SIGUSR1, router_print);
    router_start(&settings, component);
    if (with_igmp)
        igmp_start(component);
    log_info("ready");
    status = loop_run();
    if (with_igmp)
        igmp_stop();
    router_stop();
    return status;
}
