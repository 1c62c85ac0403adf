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
           "  --config FILE               reads words from a file, as they would stand here; SIGHUP: anew\n"
           "  --log LEVEL                 off, error, warn, info or debug (info)\n"
           "  --help, --version\n",
           igmp_settings_help);
    exit(0);
}

static int arguments;
static char **words;

static void read_words(options *o, igmp_names *names, DWORD *component)
{
    igmp_settings settings = igmp_defaults;
    while (options_next(o)) {
        if (o->name == NULL)
            igmp_name(names, o, o->word, &settings);
        else if (strcmp(o->name, "help") == 0 && !o->again)
            help();
        else if (!options_common(o, component) && !igmp_option(&settings, o))
            options_wrong(o, "there is no option --%s", o->name);
    }
    if (o->mistake[0] == 0 && names->count == 0)
        options_wrong(o, "which interfaces?");
    prefix_free(settings.groups);
}

static void read_again(void)
{
    igmp_names names = {0};
    DWORD component;
    options o;
    options_again(&o, arguments, words);
    read_words(&o, &names, &component);
    if (o.mistake[0] == 0)
        igmp_use_all(names.list, names.count);
    options_told(&o);
    igmp_names_free(&names);
    options_end(&o);
}

int main(int argc, char **argv)
{
    igmp_names names = {0};
    DWORD component = 1;
    options o;
    int status;

    log_program = "mgm-igmp";
    arguments = argc;
    words = argv;
    loop_init();
    options_begin(&o, argc, argv);
    read_words(&o, &names, &component);
    options_end(&o);
    igmp_use_all(names.list, names.count);
    igmp_names_free(&names);
    manager_environment();
    iface_start();
    loop_on_signal(SIGUSR1, igmp_print);
    loop_on_signal(SIGHUP, read_again);
    igmp_start(component);
    log_info("ready");
    status = loop_run();
    igmp_stop();
    return status;
}
