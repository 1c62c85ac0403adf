/* The router side of IGMP, versions 1 to 3, as a client of the group manager. mgm-igmp is this and a command line; mgm-proxy
 * carries it beside its own client. */
#ifndef IGMP_H
#define IGMP_H

#include "../common/iface.h"
#include "../common/options.h"
#include <mgm.h>
#include <stdbool.h>
#include <stdint.h>

/* What can be set for each interface; the names in brackets are RFC 3376's (section 8). */
typedef struct igmp_settings {
    unsigned version;                 /* of the queries: 1, 2 or 3 */
    unsigned robustness;              /* [Robustness Variable] */
    unsigned query_interval_ms;       /* [Query Interval] */
    unsigned response_interval_ms;    /* [Query Response Interval] */
    unsigned last_member_interval_ms; /* [Last Member Query Interval] */
    unsigned last_member_count;       /* [Last Member Query Count]; 0: the robustness variable */
    unsigned startup_interval_ms;     /* [Startup Query Interval]; 0: a quarter of the query interval */
    unsigned startup_count;           /* [Startup Query Count]; 0: the robustness variable */
    unsigned max_groups, max_sources; /* on the interface; in a group */
    bool fast_leave;                  /* a leave counts at once: there is one host on the link */
    bool querier_only;                /* the group manager hears of members only while this router is the querier */
    prefix_rule *groups;              /* the access list, or NULL */
} igmp_settings;

extern const igmp_settings igmp_defaults;

/* Takes the option at hand, where it is one of them: "--igmp-version 2", "--fast-leave" … False: it is not. */
bool igmp_option(igmp_settings *settings, options *o);
extern const char igmp_settings_help[];

/* The interfaces that the command line names, with the settings of each. All zero at first. */
typedef struct igmp_named {
    iface *on;
    igmp_settings settings;
    int mode; /* whoever has IGMP in its program may keep something here */
} igmp_named;
typedef struct igmp_names {
    igmp_named *list;
    unsigned count;
} igmp_names;

/* "eth1", or "eth1,fast-leave,max-groups=100": one more, with settings of its own on top of those given. NULL: what was read
 * makes no sense. */
igmp_named *igmp_name(igmp_names *names, options *o, const char *text, const igmp_settings *settings);
const igmp_named *igmp_named_as(const igmp_names *names, const iface *i); /* NULL: it is not among them */
void igmp_names_free(igmp_names *names);

/* IGMP is to run on this interface, whenever it exists, and from now on with these settings. What hosts have asked for stays,
 * as far as it is still allowed. */
void igmp_use(iface *i, const igmp_settings *settings);
/* It is not any more. */
void igmp_do_without(const iface *i);
/* It is to run on these interfaces and no others. */
void igmp_use_all(const igmp_named *list, unsigned count);
void igmp_start(DWORD component);
void igmp_stop(void);
void igmp_print(void); /* the groups, to the log */

/* Where a routing protocol of the same program owns the interface it can ask which sources the hosts exclude, and be told of
 * changes: mgm.h has no way for IGMP to say so. */
bool igmp_blocks(DWORD index, DWORD source, DWORD group);
void igmp_each_blocked(DWORD index, DWORD group, void (*each)(DWORD index, DWORD source, DWORD group));
extern void (*igmp_on_blocked)(iface *i, DWORD source, DWORD group, bool blocked);

#endif
