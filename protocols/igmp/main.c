/* mgm-igmp: the router side of IGMP as a program of its own. */
#include "igmp.h"
#include "../common/log.h"
#include "../common/loop.h"
#include "../common/manager.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void help(void)
{
    printf("usage: mgm-igmp [OPTION...] INTERFACE[,SETTING[=VALUE]...]...\n\n"
           "IGMP for the routers of a link, on mgm.h. Settings given as options hold for the interfaces that follow,\n"
           "settings behind an interface's name (without dashes) for that one.\n\n"
           "%s\n"
           "  --component N               the component id to register with (1)\n"
           "  --config FILE               reads words from a file, as they would stand here\n"
           "  --log LEVEL                 off, error, warn, info or debug (info)\n"
           "  --help, --version\n",
           igmp_settings_help);
    exit(0);
}

int main(int argc, char **argv)
{
    igmp_settings settings = igmp_defaults;
    DWORD component = 1;
    bool any = false;
    options o;
    int status;

    log_program = "mgm-igmp";
    loop_init();
    options_begin(&o, argc, argv);
    while (options_next(&o)) {
        if (o.name == NULL) {
            igmp_settings own = settings;
            iface *i = igmp_parse_interface(o.word, &own);
            igmp_use(i, &own);
            any = true;
        } else if (strcmp(o.name, "help") == 0) {
            help();
        } else if (!options_common(&o, &component) &&
                   !igmp_set(&settings, o.name, igmp_setting_needs_value(o.name) ? options_value(&o) : o.value)) {
            usage_error("there is no option --%s", o.name);
        }
    }
    if (!any)
        usage_error("which interfaces?");
    manager_environment();
    iface_start();
    loop_on_signal(SIGUSR1, igmp_print);
    igmp_start(component);
    log_info("ready");
    status = loop_run();
    igmp_stop();
    return status;
}
