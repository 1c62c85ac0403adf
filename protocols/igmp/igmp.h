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

/* Sets one of them: "version", "robustness", "query-interval" … False: there is no such setting. A value that makes no sense
 * ends the program. */
bool igmp_set(igmp_settings *settings, const char *name, const char *value);
/* Is `name` a setting that needs a value ("fast-leave" may do without)? */
bool igmp_setting_needs_value(const char *name);
/* "eth1", or "eth1,fast-leave,max-groups=100": the interface, with settings of its own on top of those given. */
iface *igmp_parse_interface(const char *text, igmp_settings *settings);
extern const char igmp_settings_help[];

/* IGMP is to run on this interface, whenever it exists. */
void igmp_use(iface *i, const igmp_settings *settings);
void igmp_start(DWORD component);
void igmp_stop(void);
void igmp_print(void); /* the groups, to the log */

/* Where a routing protocol of the same program owns the interface it can ask which sources the hosts exclude, and be told of
 * changes: mgm.h has no way for IGMP to say so. */
bool igmp_blocks(DWORD index, DWORD source, DWORD group);
void igmp_each_blocked(DWORD index, DWORD group, void (*each)(DWORD index, DWORD source, DWORD group));
extern void (*igmp_on_blocked)(iface *i, DWORD source, DWORD group, bool blocked);

#endif
