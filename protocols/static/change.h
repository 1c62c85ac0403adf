/* From the routes that were to those that are, while packets flow. */
#ifndef STATIC_CHANGE_H
#define STATIC_CHANGE_H

#include "routes.h"
#include "../common/manager.h"

/* Brings interfaces, memberships and the flows that there are up to date. What both tables have is not touched. The client's
 * callbacks go by the new table already. */
void change_routes(client *me, const route_table *old, const route_table *now);

/* What the group manager tells of an interface: may there be hosts that want flows by IGMP? */
void change_igmp_is(uint32_t index, bool there);

#endif
