/* The state of a PIM router and what changes it: messages, timers, members, routes, other protocols. No socket and no call of
 * mgm.h is made here; what is to be done is asked of a struct pim_host. So a test runs many routers in one process, on a clock of
 * its own.
 *
 *   hello.c    links, neighbours, hello, designated router
 *   entry.c    (S,G) entries: which links they leave by, when they change, when they end
 *   sparse.c   source-specific mode: joins received and sent (RFC 7761 sections 4.5.2 and 4.5.5, RFC 4607)
 *   dense.c    dense mode: prunes and grafts (RFC 3973 section 4.4)
 *   refresh.c  dense mode: state refresh (RFC 3973 section 4.5)
 *   assert.c   asserts of both (RFC 7761 section 4.6, RFC 3973 section 4.6)
 *   message.c  messages sent and received
 */
#ifndef PIM_H
#define PIM_H

#include "../common/loop.h"
#include "packet.h"

struct pim;
struct entry;
struct link;

enum mode { MODE_SPARSE, MODE_DENSE }; /* sparse: its source-specific part alone */

struct settings { /* milliseconds, where no unit is named */
    unsigned hello_period, triggered_hello, join_period, propagation, override_interval;
    unsigned assert_time, assert_override, graft_retry, prune_hold, refresh_interval, source_lifetime;
    uint32_t priority;        /* for the election of the designated router */
    unsigned max_entries;
};
extern const struct settings default_settings;

struct neighbour {
    struct neighbour *next;
    struct link *link;
    uint32_t address;
    struct pim_hello hello; /* the last one */
    timer liveness;
};

struct link { /* an interface that PIM runs on */
    struct link *next;
    struct pim *pim;
    void *with; /* the host's */
    unsigned index;
    const char *name;
    enum mode mode;
    uint32_t address, generation;
    unsigned secondary_count;
    uint32_t secondary[PIM_MAX_SECONDARY];
    bool greeted;  /* a hello has gone out with this address, and to every neighbour that is new */
    timer hello, triggered_hello;
    struct neighbour *neighbours;
    uint32_t designated; /* the designated router; sparse mode only */
};

struct route { /* toward a source */
    unsigned index;
    uint32_t next_hop; /* 0: the source is on the link, or is this router */
    uint32_t preference, metric;
    uint8_t mask_length;
};

enum downstream { NO_INFO, JOINED, PRUNE_PENDING, PRUNED }; /* JOINED in sparse mode, PRUNED in dense mode only */
enum assert_state { NO_ASSERT, WINNER, LOSER };

struct metric {
    bool rpt;
    uint32_t preference, metric, address;
};

struct oif { /* what is known of an entry on one link */
    struct oif *next;
    struct entry *entry;
    struct link *link;
    bool local;   /* IGMP has members here */
    bool on, told; /* the host was told that packets leave here; it was told anything */
    bool key;      /* it was told that this very (S,G) or (*,G) is asked for here */
    enum downstream down;
    timer expiry; /* of JOINED and PRUNED */
    timer pending;
    uint16_t hold; /* of the longest prune that is in force, seconds */
    enum assert_state assert;
    struct metric winner;
    timer assert_timer;
};

enum upstream { NOT_JOINED, UP_JOINED,        /* sparse mode */
                FORWARDING, UP_PRUNED, ACK_PENDING }; /* dense mode */

struct entry { /* (S,G); with source 0 (*,G), which has members and nothing upstream */
    struct entry *next; /* in its bucket */
    struct pim *pim;
    uint32_t source, group;
    struct oif *oifs;
    bool external;      /* another protocol holds this very key */
    bool doubtful, found; /* `external` comes from an enumeration; the last one had it too (the host keeps these) */
    bool flows;         /* a forwarding entry has been made for it */
    /* Upstream. `rpf` is NULL where no link of ours leads to the source. */
    struct route route;
    struct link *rpf;
    enum upstream up;
    bool begun;         /* `up` has been anything before */
    struct link *up_link; /* where `up` was told, and to whom (0: to nobody) */
    uint32_t up_neighbour;
    bool up_by_assert;
    timer join;         /* sparse: the next join; dense: the override of a prune */
    timer graft, prune_limit;
    uint64_t pruned_ahead; /* when a prune last went out that no packet made */
    /* State refresh. */
    timer refresh, life;
    uint64_t active_until, refreshed; /* the source sends; the last refresh that came in */
    uint32_t packets;
    uint8_t ttl;
    unsigned refresh_count;
};

/* What the state machines ask for. */
struct pim_host {
    void (*send)(struct link *l, uint32_t to, const uint8_t *bytes, size_t size);
    /* Packets of the entry are to leave by the link (o->on), because this very key is asked for there (o->key) or for another
     * reason; or not. Also called where that has not changed but members have. */
    void (*forward)(struct entry *e, struct oif *o);
    /* Do all members of the group on the link exclude the source? */
    bool (*blocked)(const struct link *l, uint32_t source, uint32_t group);
    /* Do interfaces of other protocols want the entry's packets? */
    bool (*others)(const struct entry *e);
    bool (*route)(struct pim *p, uint32_t source, struct route *route);
    /* How many packets the entry has carried; false: there is no forwarding entry. */
    bool (*packets)(const struct entry *e, uint32_t *count);
    /* pim_new_flow for each flow that is forwarded already, comes in elsewhere and is none of the entries. */
    void (*older_flows)(struct link *l);
};

#ifndef PIM_BUCKETS
#define PIM_BUCKETS 4096 /* the fuzzer takes fewer */
#endif
enum { BUCKETS = PIM_BUCKETS, OUTBOX = 128, OUTBOX_SLOTS = 256 };

struct outgoing { /* a record of a Join/Prune, Graft or Graft-Ack that waits to be sent with others */
    struct link *link;
    uint32_t to, upstream, group, source;
    enum pim_type type;
    uint16_t hold;
    bool prune;
};

struct pim {
    struct settings settings;
    const struct pim_host *host;
    void *with;
    struct link *links;
    struct entry *buckets[BUCKETS];
    unsigned entry_count;
    bool external_all; /* another protocol holds (*,*) */
    struct outgoing outbox[OUTBOX];
    unsigned outbox_count;
    uint8_t outbox_slots[OUTBOX_SLOTS]; /* by hash, each with the place of a record in the outbox, plus one; 0: free */
    timer flush;
};

#define EACH_ENTRY(p, e, bucket, following)                 \
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++)   \
        for (struct entry *following, *e = (p)->buckets[bucket]; e != NULL && (following = e->next, 1); e = following)

/* ---- for the host --------------------------------------------------------------------------------------- */

void pim_init(struct pim *p, const struct settings *settings, const struct pim_host *host);
void pim_set(struct pim *p, const struct settings *settings); /* other settings from now on */
void pim_end_all(struct pim *p); /* says goodbye on all links and forgets everything */

struct link *pim_link_add(struct pim *p, unsigned index, const char *name, enum mode mode, uint32_t address, void *with);
void pim_link_secondary(struct link *l, const uint32_t *addresses, unsigned count);
void pim_link_remove(struct link *l); /* `forward` is not called for it any more */
struct link *pim_link(struct pim *p, unsigned index);

/* A message came in. Gives NULL, or why nothing was done about it. */
const char *pim_receive(struct link *l, uint32_t from, uint32_t to, const uint8_t *bytes, size_t size);

void pim_local(struct link *l, uint32_t source, uint32_t group, bool member); /* IGMP; source 0: any */
void pim_blocked(struct link *l, uint32_t source, uint32_t group); /* whether all members exclude the source has changed */
void pim_external(struct pim *p, uint32_t source, uint32_t group, bool member); /* other protocols; both 0: all */
/* A forwarding entry is made, or made anew. Before `pim_wanted` is asked about its links. */
void pim_new_flow(struct pim *p, uint32_t source, uint32_t group, uint8_t ttl);
bool pim_wanted(struct link *l, uint32_t source, uint32_t group);
/* Nobody wants the packets that come in from the source; how long (seconds) this may stand without being asked again. */
unsigned pim_no_receivers(struct pim *p, uint32_t source, uint32_t group);
void pim_some_receivers(struct pim *p, uint32_t source, uint32_t group);
void pim_wrong_link(struct link *l, uint32_t source, uint32_t group); /* a packet came in there */
void pim_routes_changed(struct pim *p);

/* ---- between the files ----------------------------------------------------------------------------------- */

struct neighbour *neighbour_find(const struct link *l, uint32_t address);
bool link_many(const struct link *l);              /* more than one neighbour */
unsigned link_override(const struct link *l);      /* milliseconds: override interval; and with the propagation delay */
unsigned link_wait(const struct link *l);
unsigned link_random_override(const struct link *l); /* t_override */
bool link_suppresses(const struct link *l);
bool link_refreshes(const struct link *l);         /* all neighbours know state refresh */
bool link_responsible(const struct link *l);       /* for local members: the designated router */
void hello_now(struct link *l, bool goodbye);
void hello_receive(struct link *l, uint32_t from, const struct pim_hello *hello);

struct entry *entry_find(struct pim *p, uint32_t source, uint32_t group);
struct entry *entry_get(struct pim *p, uint32_t source, uint32_t group); /* made where it is new; NULL: no room */
struct oif *oif_find(const struct entry *e, const struct link *l);
struct oif *oif_get(struct entry *e, struct link *l); /* NULL: no memory */
bool oif_wanted(const struct entry *e, const struct link *l); /* asserts and the way in aside */
bool oif_asked(const struct entry *e, const struct oif *o);    /* for this very key */
bool oif_forwards(const struct entry *e, const struct link *l);
bool entry_forwards(const struct entry *e);        /* by any link of ours, or another protocol's */
bool entry_connected(const struct entry *e);
uint32_t entry_upstream(const struct entry *e);    /* RPF'(S,G); 0: nobody */
void entry_update(struct entry *e);                /* something has changed; may free the entry */
void entries_update(struct pim *p);
void entries_neighbour(struct neighbour *n, bool restarted); /* it has restarted, or is about to be forgotten */
struct metric entry_metric(const struct entry *e, const struct link *l); /* infinite where it could not assert */

bool sparse_wanted(const struct entry *e);
void sparse_upstream(struct entry *e);
void sparse_leave(struct entry *e);
void sparse_downstream(struct oif *o, bool prune, uint16_t hold);
void sparse_overheard(struct entry *e, bool prune, uint16_t hold);
void sparse_join_due(struct entry *e);
void sparse_prune_due(struct oif *o);

void dense_upstream(struct entry *e);
void dense_restarted(struct entry *e);             /* the neighbour upstream has */
void dense_leave(struct entry *e);
void dense_data(struct entry *e); /* it arrives and nobody wants it */
void dense_downstream(struct oif *o, bool prune, uint16_t hold);
void dense_overheard(struct entry *e, bool prune, uint16_t hold);
void dense_graft(struct link *l, uint32_t from, const struct pim_record *record, uint16_t hold);
void dense_graft_ack(struct entry *e);
void dense_refreshed(struct entry *e, bool prune);
void dense_join_due(struct entry *e);
void dense_prune_due(struct oif *o);

void refresh_receive(struct link *l, uint32_t from, const struct pim_refresh *refresh);
void refresh_start(struct entry *e);
void refresh_due(void *entry);

bool assert_could(const struct entry *e, const struct link *l);
void assert_data(struct oif *o);
void assert_receive(struct oif *o, const struct metric *metric, unsigned time); /* milliseconds that it stands */
void assert_send(struct oif *o);
void assert_forget(struct oif *o);
void assert_review(struct entry *e); /* ends what does not hold any more */
void assert_due(void *oif);

void message_add(struct entry *e, enum pim_type type, struct link *l, uint32_t to, bool prune, uint16_t hold);
void message_record(struct link *l, enum pim_type type, uint32_t to, uint32_t upstream, uint32_t source, uint32_t group,
                    bool prune, uint16_t hold);
void message_flush(void *pim);
void message_send(struct link *l, uint32_t to, const uint8_t *bytes, size_t size);
uint16_t seconds(unsigned ms);  /* rounded up; at most what ends */

#endif
