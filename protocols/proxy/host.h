/* The host side of IGMP on one interface (RFC 3376 sections 5 and 7.2): what is wanted is reported to the querier there, in the
 * version that it speaks. Groups are wanted from anybody or from a list of sources; there are as many as memory holds. */
#ifndef PROXY_HOST_H
#define PROXY_HOST_H

#include "../common/iface.h"
#include "../igmp/packet.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct host_settings {
    unsigned version;                 /* the highest to speak; lower where the querier is older */
    unsigned robustness;              /* how often a change is reported */
    unsigned unsolicited_interval_ms; /* within which it is reported again [Unsolicited Report Interval] */
} host_settings;

extern host_settings host_settings_used;
void host_set(const host_settings *settings); /* from now on; before the start as well */

/* The interface is `on`; it reports whenever that is up and has an address. Reports go through `send` (raw_send of
 * common/net.h, or a test's own) to the socket `fd`. */
typedef bool host_send(int fd, const iface *i, uint32_t source, uint32_t to, const uint8_t *data, size_t size);
void host_start(iface *on, int fd, host_send *send);
void host_changed(void);   /* the interface is not as it was */
void host_leave_all(void); /* at the end: tells the querier */

/* What is wanted of a group from now on: anything (`any`), these sources, or nothing (count 0). */
void host_want(uint32_t group, bool any, const uint32_t *sources, unsigned count);

/* A message came in on the interface. */
void host_heard(const igmp_message *m);

void host_print(void);

#endif
