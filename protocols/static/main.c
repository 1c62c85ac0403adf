/* mgm-static: multicast routes from the command line or a file.
 *
 * An outgoing interface has a membership for each group, or source and group, of its routes. The RPF callback says from which
 * interface a flow is accepted, whatever the unicast routes are, and the creation alert keeps it from interfaces that are there
 * for flows of another route. SIGHUP has the file read anew (change.c). */
#include "change.h"
#include "join.h"
#include "routes.h"
#include "../common/log.h"
#include "../common/loop.h"
#include "../common/manager.h"
#include "../common/options.h"
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static client me;
static route_table table;
static int arguments;
static char **words;

/* ---- the group manager asks ----------------------------------------------------------------------------- */

/* *index is where the unicast route leads, or, without a route (`route` is NULL), where the packet came in. */
static DWORD rpf(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, PDWORD index, PDWORD next_hop, PDWORD upstream,
                 DWORD header_size, PBYTE header, PBYTE unicast)
{
    const iface *first = NULL;
    bool ours = false;
    (void)source_mask, (void)group_mask, (void)next_hop, (void)upstream, (void)header_size, (void)header;
    for (const route *r = table.routes; r != NULL; r = r->next) {
        if (!route_matches(r, source, group))
            continue;
        ours = true;
        if (r->in->index == *index)
            return NO_ERROR;
        if (first == NULL && client_has(&me, r->in))
            first = r->in;
    }
    if (first != NULL)
        *index = first->index;
    else if (ours || unicast == NULL)
        *index = 0; /* refused: its interface is not there; or nobody here knows the flow */
    log_debug("%s comes from %s", entry_text(source, group), first ? first->name : *index ? "where its route says" : "nowhere");
    return NO_ERROR;
}

static DWORD creation_alert(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, DWORD in_index, DWORD in_next_hop,
                            DWORD count, PMGM_IF_ENTRY out)
{
    (void)source_mask, (void)group_mask, (void)in_next_hop;
    for (DWORD n = 0; n < count; n++) {
        change_igmp_is(out[n].dwIfIndex, out[n].bIGMP != 0);
        /* Where hosts may want it by IGMP it is not ours to stop. */
        if (routes_keep_from(&table, source, group, in_index, out[n].dwIfIndex) && !out[n].bIGMP)
            out[n].bIsEnabled = FALSE;
    }
    return NO_ERROR;
}

/* The interface is there: the memberships that make it an outgoing one. Two routes may have the same: adding what is there is
 * no error. */
static void taken(iface *i)
{
    for (const route *r = table.routes; r != NULL; r = r->next) {
        if (!route_leads_to(r, i->index))
            continue;
        for (const flow_range *f = r->flows; f != NULL; f = f->next)
            for (uint64_t group = f->groups.first; group <= f->groups.last; group++) {
                if (f->any_source)
                    client_add(&me, 0, htonl((uint32_t)group), i->index, MGM_JOIN_STATE_FLAG);
                else
                    for (uint64_t source = f->sources.first; source <= f->sources.last; source++)
                        client_add(&me, htonl((uint32_t)source), htonl((uint32_t)group), i->index, MGM_JOIN_STATE_FLAG);
            }
    }
}

static client me = {
    .name = "static routes",
    .protocol = PROTOCOL_ID(PROTO_TYPE_MCAST, PROTO_VENDOR_MS2, 0x5354),
    .component = 1,
    .callbacks = {
        .dwCallbackFlags = MGM_ROUTELESS_FLOWS,
        .pfnRpfCallback = rpf,
        .pfnCreationAlertCallback = creation_alert,
    },
    .taken = taken,
};

/* ---- the command line ------------------------------------------------------------------------------------- */

static void help(void)
{
    printf("usage: mgm-static [OPTION...] 'INTERFACE: FLOW... > INTERFACE...'...\n\n"
           "Multicast routes, on mgm.h: flows that come in on the first interface go out to those behind '>'. A flow is\n"
           "GROUP or SOURCE,GROUP; each is an address, a prefix (239.1.1.0/28) or a range (239.1.1.1-239.1.1.9).\n\n"
           "  --join yes|no    the routes that follow join their groups on the incoming interface, as hosts do (no)\n"
           "  --component N    the component id to register with (1)\n"
           "  --config FILE    reads words from a file, as they would stand here (without the quotes); SIGHUP: anew\n"
           "  --log LEVEL      off, error, warn, info or debug (info)\n"
           "  --help, --version\n");
    exit(0);
}

static void read_routes(options *o, route_table *t, DWORD *component)
{
    while (options_next(o)) {
        if (o->name == NULL) {
            routes_word(t, o->word);
        } else if (strcmp(o->name, "join") == 0) {
            const char *value = options_value(o);
            t->join = strcmp(value, "yes") == 0;
            if (!t->join && strcmp(value, "no") != 0)
                options_wrong(o, "--join %s: yes and no are allowed", value);
        } else if (strcmp(o->name, "help") == 0 && !o->again) {
            help();
        } else if (!options_common(o, component)) {
            options_wrong(o, "there is no option --%s", o->name);
        }
        if (t->mistake[0] != 0)
            options_wrong(o, "%s", t->mistake);
    }
    if (o->mistake[0] != 0)
        return;
    routes_end(t);
    if (t->mistake[0] != 0)
        options_wrong(o, "%s", t->mistake);
    else if (t->routes == NULL)
        options_wrong(o, "which routes?");
}

static void join_routes(void)
{
    size_t count;
    wanted_flow *list = routes_joins(&table, &count);
    join_all(list, count);
}

static void read_again(void)
{
    route_table old = table, now = {0};
    DWORD component;
    options o;
    options_again(&o, arguments, words);
    read_routes(&o, &now, &component);
    if (o.mistake[0] != 0) {
        log_error("the routes stay as they are: %s", o.mistake);
        routes_free(&now);
    } else {
        table = now;
        change_routes(&me, &old, &table);
        join_routes();
        routes_free(&old);
        log_info("the routes were read anew");
    }
    options_end(&o);
}

int main(int argc, char **argv)
{
    options o;
    int status;
    log_program = "mgm-static";
    arguments = argc;
    words = argv;
    loop_init();
    options_begin(&o, argc, argv);
    read_routes(&o, &table, &me.component);
    options_end(&o);
    for (const route *r = table.routes; r != NULL; r = r->next) {
        client_use(&me, r->in);
        for (const iface_list *out = r->out; out != NULL; out = out->next)
            client_use(&me, out->on);
    }
    manager_environment();
    iface_start();
    client_start(&me);
    join_routes();
    loop_on_signal(SIGHUP, read_again);
    log_info("ready");
    status = loop_run();
    client_stop(&me);
    return status;
}
