/* What the files of IGMP share: links, their groups, and the sources of these. */
#ifndef IGMP_LINK_H
#define IGMP_LINK_H

#include "igmp.h"
#include "packet.h"
#include "../common/log.h"
#include "../common/loop.h"
#include "../common/manager.h"

typedef struct igmp_source {
    struct igmp_source *next;
    struct igmp_group *of;
    uint32_t address;
    timer wanted;         /* runs while hosts want the source; in EXCLUDE mode one whose time is over is blocked */
    unsigned queries_left;
    bool named;           /* by the record at hand */
    bool joined, blocked; /* what the group manager has been told */
} igmp_source;

typedef struct igmp_group {
    struct igmp_group *next; /* in its bucket */
    struct igmp_link *on;
    uint32_t address;
    bool exclude;         /* the filter mode */
    bool joined;          /* (*,G): what the group manager has been told */
    timer excluding;      /* the group timer: runs in EXCLUDE mode */
    timer v1_host, v2_host; /* run while hosts of these versions are there */
    timer ask_again;      /* the last-member queries that are left */
    unsigned queries_left;
    bool asks;            /* the record at hand makes a query necessary */
    unsigned source_count;
    igmp_source *sources;
} igmp_group;

typedef struct igmp_link {
    struct igmp_link *next;
    iface *on;
    igmp_settings settings;
    bool active;            /* up and with an address: queries are sent */
    bool querier;
    unsigned robustness, query_interval_ms; /* in use: the querier's, where that is another router */
    unsigned startup_left;
    timer query, other_querier;
    uint32_t querier_address;
    unsigned group_count, bucket_count;
    igmp_group **buckets;
    uint64_t bad_packets, reports, queries;
} igmp_link;

extern igmp_link *igmp_links;
extern client igmp_client;

/* ---- groups.c ---- */
/* What a record says; older versions' messages come as what they mean in version 3. */
void group_record(igmp_link *l, const igmp_record *record);
void group_old_report(igmp_link *l, uint32_t group, unsigned version);
void group_leave(igmp_link *l, uint32_t group);
igmp_group *group_find(const igmp_link *l, uint32_t group);
igmp_source *source_find(const igmp_group *g, uint32_t address);
/* Another router's specific query with a clear S flag: timers go down to `ms`. */
void group_lower(igmp_link *l, const igmp_message *query, unsigned ms);
void groups_drop(igmp_link *l);   /* all of them, with their memberships */
void groups_permitted(igmp_link *l); /* those that the access list does not permit go */
/* ---- tell.c ---- */
void tell_group(igmp_group *g);   /* brings the group manager to what the group wants now */
void tell_source_gone(igmp_source *s);
void tell_group_gone(igmp_group *g);
void tell_all(igmp_link *l, bool forgotten); /* anew, where the group manager has forgotten what it was told */
/* ---- querier.c ---- */
void querier_update(igmp_link *l); /* the interface came, went, or is not as it was */
void querier_set(igmp_link *l);    /* the settings are others now */
void querier_heard(igmp_link *l, uint32_t from, const igmp_message *query);
/* Sends a query; group 0: a general one. */
void querier_ask(igmp_link *l, uint32_t group, bool suppress, const uint32_t *sources, unsigned count);
void querier_open(void);
unsigned link_membership_ms(const igmp_link *l);   /* [Group Membership Interval] */
unsigned link_last_member_ms(const igmp_link *l);  /* [Last Member Query Time] */
unsigned link_last_member_count(const igmp_link *l);

#endif
