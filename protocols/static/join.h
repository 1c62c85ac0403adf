/* Groups that this machine joins itself, as a host does, so that switches and routers on the way in send them. */
#ifndef STATIC_JOIN_H
#define STATIC_JOIN_H

#include "routes.h"

/* From now on exactly these are joined, each as long as its interface is there. What stays is not touched. The list, in order
 * as routes_joins gives it, is kept and freed. */
void join_all(wanted_flow *list, size_t count);

#endif
