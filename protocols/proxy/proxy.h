/* The proxy (RFC 4605) as a client of the group manager. */
#ifndef PROXY_H
#define PROXY_H

#include "../common/iface.h"
#include "../common/options.h"
#include "../igmp/igmp.h"
#include <mgm.h>

/* The sources that may send without a unicast route to them, or with one over an interface that is not the proxy's. NULL: any
 * that come in upstream, none downstream. The list is the caller's, and stays. */
void proxy_set_sources(const prefix_rule *list);

void proxy_upstream(iface *i); /* before the start */
/* These interfaces and no others are downstream from now on. */
void proxy_use_downstream(const igmp_named *list, unsigned count);
void proxy_start(DWORD component);
void proxy_stop(void);
void proxy_print(void);

#endif
