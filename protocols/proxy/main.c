/* mgm-proxy: one link upstream, any number downstream. */
#include "host.h"
#include "proxy.h"
#include "../common/log.h"
#include "../common/loop.h"
#include "../common/manager.h"
#include "../igmp/igmp.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void help(void)
{
    printf("usage: mgm-proxy [OPTION...] UPSTREAM DOWNSTREAM[,SETTING[=VALUE]...]...\n\n"
           "An IGMP proxy (RFC 4605), on mgm.h: what hosts on the downstream links want is asked for upstream.\n\n"
           "  --upstream-version N        the highest version to speak upstream: 1, 2 or 3 (3)\n"
           "  --upstream-robustness N     how often a change is reported there: 1 to 7 (2)\n"
           "  --permit-source PREFIX      the list of sources that are allowed without a route to them over the proxy's\n"
           "  --deny-source PREFIX        interfaces; without a list, any that come in upstream\n"
           "  --igmp yes|no               IGMP downstream is part of this program (yes; no with MGM_HOST, where mgm-igmp\n"
           "                              runs beside it)\n"
           "  --component N               the component id to register with (1)\n"
           "  --config FILE               reads words from a file, as they would stand here\n"
           "  --log LEVEL                 off, error, warn, info or debug (info)\n"
           "  --help, --version\n\n"
           "For IGMP downstream, as options for the interfaces that follow or behind an interface's name for that one:\n\n"
           "%s",
           igmp_settings_help);
    exit(0);
}

static bool yes(options *o)
{
    const char *value = options_value(o);
    if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
        usage_error("--%s %s: yes and no are allowed", o->name, value);
    return value[0] == 'y';
}

int main(int argc, char **argv)
{
    igmp_settings settings = igmp_defaults;
    bool igmp = getenv("MGM_HOST") == NULL;
    struct { iface *on; igmp_settings settings; } named[64];
    unsigned count = 0;
    DWORD component = 1;
    options o;
    int status;

    log_program = "mgm-proxy";
    settings.querier_only = true;
    loop_init();
    options_begin(&o, argc, argv);
    while (options_next(&o)) {
        if (o.name == NULL) {
            if (count == sizeof named / sizeof *named)
                usage_error("too many interfaces");
            named[count].settings = settings;
            named[count].on = igmp_parse_interface(o.word, &named[count].settings);
            count++;
        } else if (strcmp(o.name, "help") == 0) {
            help();
        } else if (strcmp(o.name, "upstream-version") == 0) {
            host_settings_used.version = options_number(&o, 1, 3);
        } else if (strcmp(o.name, "upstream-robustness") == 0) {
            host_settings_used.robustness = options_number(&o, 1, 7);
        } else if (strcmp(o.name, "permit-source") == 0 || strcmp(o.name, "deny-source") == 0) {
            prefix_add(&proxy_sources, options_value(&o), o.name[0] == 'p');
        } else if (strcmp(o.name, "igmp") == 0) {
            igmp = yes(&o);
        } else if (!options_common(&o, &component) &&
                   !igmp_set(&settings, o.name, igmp_setting_needs_value(o.name) ? options_value(&o) : o.value)) {
            usage_error("there is no option --%s", o.name);
        }
    }
    if (count < 2)
        usage_error("which interfaces? The first is upstream, the others are downstream");
    proxy_upstream(named[0].on);
    for (unsigned n = 1; n < count; n++) {
        proxy_downstream(named[n].on);
        if (igmp)
            igmp_use(named[n].on, &named[n].settings);
    }
    manager_environment();
    iface_start();
    loop_on_signal(SIGUSR1, proxy_print);
    proxy_start(component);
    if (igmp)
        igmp_start(component);
    log_info("ready");
    status = loop_run();
    proxy_stop();
    if (igmp)
        igmp_stop();
    return status;
}
