/* The proxy (RFC 4605) as a client of the group manager. */
#ifndef PROXY_H
#define PROXY_H

#include "../common/iface.h"
#include "../common/options.h"
#include <mgm.h>

/* The sources that may send without a unicast route to them, or with one over an interface that is not the proxy's. NULL: any
 * that come in upstream, none downstream. */
extern prefix_rule *proxy_sources;

void proxy_upstream(iface *i);
void proxy_downstream(iface *i);
void proxy_start(DWORD component);
void proxy_stop(void);
void proxy_print(void);

#endif
