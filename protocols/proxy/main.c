/* mgm-proxy: one link upstream, any number downstream. */
#include "host.h"
#include "proxy.h"
#include "wants.h"
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
           "  --config FILE               reads words from a file, as they would stand here; SIGHUP: anew\n"
           "  --log LEVEL                 off, error, warn, info or debug (info)\n"
           "  --help, --version\n\n"
           "For IGMP downstream, as options for the interfaces that follow or behind an interface's name for that one:\n\n"
           "%s",
           igmp_settings_help);
    exit(0);
}

/* What the words say. */
typedef struct configuration {
    host_settings host;
    prefix_rule *sources;
    igmp_names names; /* the first is upstream */
    bool igmp;
    DWORD component;
} configuration;

static int arguments;
static char **words;
static configuration used;

static bool yes(options *o)
{
    const char *value = options_value(o);
    if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
        options_wrong(o, "--%s %s: yes and no are allowed", o->name, value);
    return value[0] == 'y';
}

static configuration read_words(options *o)
{
    configuration c = {.host = host_settings_used, .igmp = getenv("MGM_HOST") == NULL, .component = 1};
    igmp_settings settings = igmp_defaults;
    c.host.version = 3;
    c.host.robustness = 2;
    settings.querier_only = true;
    while (options_next(o)) {
        if (o->name == NULL) {
            igmp_name(&c.names, o, o->word, &settings);
        } else if (strcmp(o->name, "help") == 0 && !o->again) {
            help();
        } else if (strcmp(o->name, "upstream-version") == 0) {
            c.host.version = options_number(o, 1, 3);
        } else if (strcmp(o->name, "upstream-robustness") == 0) {
            c.host.robustness = options_number(o, 1, 7);
        } else if (strcmp(o->name, "permit-source") == 0 || strcmp(o->name, "deny-source") == 0) {
            const char *prefix = options_value(o);
            if (!prefix_add(&c.sources, prefix, o->name[0] == 'p'))
                options_wrong(o, PREFIX_WRONG, prefix);
        } else if (strcmp(o->name, "igmp") == 0) {
            c.igmp = yes(o);
        } else if (!options_common(o, &c.component) && !igmp_option(&settings, o)) {
            options_wrong(o, "there is no option --%s", o->name);
        }
    }
    prefix_free(settings.groups);
    if (o->mistake[0] != 0)
        return c;
    if (c.names.count < 2)
        options_wrong(o, "which interfaces? The first is upstream, the others are downstream");
    if (c.names.count > MAX_SLOTS + 1)
        options_wrong(o, "more than %d downstream interfaces", MAX_SLOTS);
    return c;
}

static void use(const configuration *c)
{
    host_set(&c->host);
    proxy_set_sources(c->sources);
    if (c->igmp)
        igmp_use_all(c->names.list + 1, c->names.count - 1);
    proxy_use_downstream(c->names.list + 1, c->names.count - 1);
}

static void forget(configuration *c)
{
    prefix_free(c->sources);
    igmp_names_free(&c->names);
}

static void read_again(void)
{
    configuration now;
    options o;
    options_again(&o, arguments, words);
    now = read_words(&o);
    if (o.mistake[0] == 0 && (now.names.list[0].on != used.names.list[0].on || now.igmp != used.igmp))
        options_wrong(&o, "another upstream interface, and --igmp, need a restart");
    if (o.mistake[0] == 0) {
        configuration old = used;
        used = now;
        use(&used);
        now = old;
    }
    forget(&now);
    options_told(&o);
    options_end(&o);
}

int main(int argc, char **argv)
{
    options o;
    int status;

    log_program = "mgm-proxy";
    arguments = argc;
    words = argv;
    loop_init();
    options_begin(&o, argc, argv);
    used = read_words(&o);
    options_end(&o);
    proxy_upstream(used.names.list[0].on);
    use(&used);
    manager_environment();
    iface_start();
    loop_on_signal(SIGUSR1, proxy_print);
    loop_on_signal(SIGHUP, read_again);
    proxy_start(used.component);
    if (used.igmp)
        igmp_start(used.component);
    log_info("ready");
    status = loop_run();
    proxy_stop();
    if (used.igmp)
        igmp_stop();
    return status;
}
