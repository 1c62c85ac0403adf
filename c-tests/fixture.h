/* What the tests t_*.c share: clients that write down each callback, a host on the memory
 * forwarder with a clock and routes of the test's own, and hand-made packets.
 *
 * Routes: a source 10.N.x.y lies behind interface N and is its own upstream neighbour, until
 * route_via() says otherwise.
 *
 * Each callback becomes a line, as in
 *   RPF (10.1.0.2,239.1.1.1) iif 1 upstream 10.1.0.2
 *   CREATE (10.1.0.2,239.1.1.1) iif 1 oifs 2 3+igmp
 *   PRUNE (*,239.1.1.1) if 2 member          bMemberDelete TRUE
 *   PRUNE (10.1.0.2,239.1.1.1) if 2 flow     bMemberDelete FALSE
 *   JOIN (*,239.1.1.1) member                bMemberUpdate TRUE; "flow" for FALSE
 *   WRONG_IF (10.1.0.2,239.1.1.1) if 3
 *   LOCAL_JOIN (*,239.1.1.1) if 2            and LOCAL_LEAVE
 *   DISABLE_IGMP 1                           and ENABLE_IGMP
 * An interface with a next hop is written 2/10.9.9.9. What holds for every callback of its kind
 * (masks, 900 in *pdwTimeout, a sound packet header) is checked on the way and gives a line of
 * its own, beginning with "BAD", when it does not hold. */
#ifndef FIXTURE_H
#define FIXTURE_H

#include "check.h"
#include "mgm_host.h"
#include <arpa/inet.h>
#include <stdlib.h>

#define ALL_ONES 0xffffffffu
#define JOIN MGM_JOIN_STATE_FLAG
#define FORWARD MGM_FORWARD_STATE_FLAG
#define G1 "239.1.1.1"
#define G2 "239.1.1.2"
#define G3 "239.1.1.3"
#define S1 "10.1.0.2"  /* behind interface 1 */
#define S1B "10.1.0.3" /* behind interface 1 as well */
#define S2 "10.2.0.2"  /* behind interface 2 */
#define S4 "10.4.0.2"  /* behind interface 4 */

typedef enum {
    ON_RPF, ON_CREATE, ON_PRUNE, ON_JOIN, ON_WRONG_IF, ON_LOCAL_JOIN, ON_LOCAL_LEAVE,
    ON_DISABLE, ON_ENABLE
} callback_kind;

typedef struct client {
    const char *name;
    DWORD protocol;
    DWORD component;
    HANDLE handle;
    ROUTING_PROTOCOL_CONFIG config;
    /* What its callbacks do besides writing a line; all zero: nothing. */
    DWORD veto;          /* creation alert: this interface gets bIsEnabled FALSE */
    DWORD rpf_index;     /* RPF: answers with this interface */
    int rpf_refuses;     /* RPF: answers with interface 0 */
    DWORD rpf_upstream;  /* RPF: answers with this neighbour */
    DWORD prune_timeout; /* prune alert: what *pdwTimeout becomes */
    int prune_to_zero;   /* prune alert: *pdwTimeout becomes 0 */
    void (*hook)(struct client *client, callback_kind kind, DWORD index); /* last of all */
    BYTE packet[128];    /* the beginning of the packet that it was last given (RPF, WRONG_IF) */
    DWORD packet_size;   /* and how much that was */
    char lines[16384];   /* what was written down; guarded by a lock in fixture.c */
} client;

/* Three routing protocols and two that are IGMP. */
extern client A, B, C, IGMP, IGMP2;

/* The clock that the host reads, in milliseconds. */
extern ULONGLONG fixture_now;

DWORD ip(const char *text); /* network byte order; "*" is 0 */

void start_host(void);                   /* memory forwarder, fresh clients, default routes */
void start_host_limited(DWORD max_mfes); /* the same with a cap on MFEs */
void stop_host(void);
DWORD enrol(client *who);                       /* MgmRegisterMProtocol */
void enrol_with(client *who, const DWORD *interfaces); /* and take these; ends with 0 */
DWORD take(client *who, DWORD index);
DWORD release(client *who, DWORD index);
DWORD add(client *who, const char *source, const char *group, DWORD index, DWORD flags);
DWORD drop(client *who, const char *source, const char *group, DWORD index, DWORD flags);

/* Reaching sources of 10.`second_octet` is through `index` (0: no route). Tells nobody. */
void route_via(unsigned second_octet, DWORD index);
DWORD route_changed(unsigned second_octet); /* MgmHostRouteChanged for it */
/* The next look-up finds the route as it is; it moves, and MgmHostRouteChanged says so, before the
 * library gets the answer. */
void overtake_look_up(unsigned second_octet, DWORD index);
DWORD later(DWORD seconds);                 /* the clock goes on, and the host notices */

#define PACKET_SIZE 48u
/* Writes an IPv4 packet of PACKET_SIZE octets with a right header checksum. */
void make_packet(BYTE *packet, const char *source, const char *group, unsigned ttl);
DWORD packet_in(DWORD index, const char *source, const char *group); /* MgmHostReceive, ttl 64 */

/* The lines since the last look, and forgets them. The pointer holds until the next call. */
const char *lines_of(client *who);
const char *transmitted(void); /* "2 (10.1.0.2,239.1.1.1)\n" for each copy handed out */
void forget_all(void);

/* The oifs of the MFE for (source, group) as "2 3/10.9.9.9", "" for none, "no entry". */
const char *oifs_of(const char *source, const char *group);
/* Its fields without oifs; zeroes and 0 where there is no such entry. */
int mfe_of(const char *source, const char *group, MIB_IPMCAST_MFE *mfe);
DWORD mfe_count(void);

#define CHECK_LINES(who, expected) \
    check_text(lines_of(&(who)), (expected), "callbacks of " #who, __FILE__, __LINE__)
#define CHECK_OIFS(source, group, expected) \
    check_text(oifs_of((source), (group)), (expected), "oifs of (" source "," group ")", \
               __FILE__, __LINE__)
#define CHECK_SENT(expected) \
    check_text(transmitted(), (expected), "copies sent", __FILE__, __LINE__)

#endif
