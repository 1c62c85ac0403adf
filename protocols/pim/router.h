/* PIM as a client of the group manager: what mgm.h tells it, and what it asks of mgm.h; and its sockets. */
#ifndef PIM_ROUTER_H
#define PIM_ROUTER_H

#include "../common/iface.h"
#include "../igmp/igmp.h"
#include "pim.h"
#include <mgm.h>

/* PIM is to run on these interfaces, each in its mode, whenever they exist, and on no others. */
void router_use_all(const igmp_named *list, unsigned count);
/* From now on; before the start it is router_start that gets them. */
void router_set(const struct settings *settings);
void router_start(const struct settings *settings, DWORD component);
void router_stop(void);
void router_print(void); /* neighbours and entries, to the log */

#endif
