/* PIM as a client of the group manager: what mgm.h tells it, and what it asks of mgm.h; and its sockets. */
#ifndef PIM_ROUTER_H
#define PIM_ROUTER_H

#include "../common/iface.h"
#include "pim.h"
#include <mgm.h>

/* PIM is to run on this interface, whenever it exists. */
void router_use(iface *i, enum mode mode);
void router_start(const struct settings *settings, DWORD component);
void router_stop(void);
void router_print(void); /* neighbours and entries, to the log */

#endif
