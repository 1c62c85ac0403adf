/* The kernel's unicast routes toward sources, with what an assert compares. */
#ifndef PIM_ROUTE_H
#define PIM_ROUTE_H

#include "pim.h"

/* Listens to changes from now on; `changed` is called after each burst of them. */
void route_start(void (*changed)(void));
bool route_find(uint32_t source, struct route *route); /* false: there is none */

#endif
