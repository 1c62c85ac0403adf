/* PIM messages as bytes (RFC 7761 section 4.9, RFC 3973 section 4.7). Pure functions: no socket, no
 * state, no clock. Addresses are in network byte order, numbers in host order. */
#ifndef PIM_PACKET_H
#define PIM_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PIM_VERSION = 2,
    PIM_PROTOCOL = 103,      /* of IP */
    PIM_MESSAGE_SIZE = 1400, /* the longest message that is built: fits an Ethernet frame */
    PIM_MAX_SECONDARY = 16,  /* secondary addresses of one neighbour that are kept */
    PIM_FOREVER = 0xffff     /* a holdtime that does not end */
};

enum pim_type {
    PIM_HELLO = 0,
    PIM_JOIN_PRUNE = 3,
    PIM_ASSERT = 5,
    PIM_GRAFT = 6,
    PIM_GRAFT_ACK = 7,
    PIM_STATE_REFRESH = 9
};

struct pim_hello {
    bool has_holdtime, has_lan_delay, has_priority, has_generation, has_state_refresh;
    uint16_t holdtime; /* seconds */
    bool tracking;     /* the T bit: can do without join suppression */
    uint16_t propagation_ms, override_ms;
    uint32_t priority, generation;
    uint8_t refresh_interval; /* seconds */
    unsigned secondary_count;
    uint32_t secondary[PIM_MAX_SECONDARY];
};

struct pim_assert {
    uint32_t group, source;
    bool rpt;
    uint32_t preference, metric; /* lower is better */
};

struct pim_refresh {
    struct pim_assert metric; /* the sender's: a state refresh asserts as well */
    uint32_t originator;
    uint8_t mask_length, ttl, interval; /* interval in seconds */
    bool prune, prune_now, override;    /* P, N and O */
};

/* Join/Prune, Graft and Graft-Ack. The records are read with pim_next_record. */
struct pim_join_prune {
    uint32_t upstream;
    uint16_t holdtime;
    const uint8_t *at, *end;           /* where pim_next_record goes on */
    unsigned groups, joins, prunes;    /* what is left, and of the group at hand */
    uint32_t group;
    bool group_range;
};

struct pim_message {
    enum pim_type type;
    union {
        struct pim_hello hello;
        struct pim_join_prune join_prune;
        struct pim_assert assert;
        struct pim_refresh refresh;
    } u;
};

struct pim_record {
    uint32_t group, source;
    bool prune;
};

/* Reads a message of `size` octets, whole: checksum, version, type, every length and every address
 * family. Gives NULL, or what is wrong with it. *message points into `bytes`. */
const char *pim_parse(const uint8_t *bytes, size_t size, struct pim_message *message);

/* The next (S,G) record. Passes over those that are of no concern to dense and source-specific mode:
 * group ranges, (*,G) and (S,G,rpt). */
bool pim_next_record(struct pim_join_prune *message, struct pim_record *record);

/* Each builds a whole message, with its checksum, into PIM_MESSAGE_SIZE octets and gives its length. */
size_t pim_build_hello(uint8_t *bytes, const struct pim_hello *hello);
size_t pim_build_assert(uint8_t *bytes, const struct pim_assert *assert);
size_t pim_build_refresh(uint8_t *bytes, const struct pim_refresh *refresh);

/* Join/Prune, Graft and Graft-Ack, record by record. Records of one group that follow each other,
 * joins before prunes, share one group set. */
struct pim_builder {
    uint8_t bytes[PIM_MESSAGE_SIZE];
    size_t size;
    uint8_t *set; /* the group set at hand */
    bool sparse;
};
void pim_begin(struct pim_builder *builder, enum pim_type type, uint32_t upstream,
               uint16_t holdtime, bool sparse);
bool pim_add(struct pim_builder *builder, uint32_t group, uint32_t source, bool prune); /* false: full */
size_t pim_end(struct pim_builder *builder);

#endif
