/* IGMP messages (RFC 3376 section 4, RFC 2236, RFC 1112): reading and writing octets, and nothing else. */
#ifndef IGMP_PACKET_H
#define IGMP_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum igmp_type {
    IGMP_QUERY = 0x11, IGMP_V1_REPORT = 0x12, IGMP_V2_REPORT = 0x16, IGMP_V2_LEAVE = 0x17, IGMP_V3_REPORT = 0x22
};
enum igmp_record_type { IS_IN = 1, IS_EX, TO_IN, TO_EX, ALLOW, BLOCK };

typedef struct igmp_record {
    enum igmp_record_type type;
    uint32_t group;
    unsigned count;
    const uint8_t *sources;    /* 4 octets each */
} igmp_record;

typedef struct igmp_message {
    enum igmp_type type;
    uint32_t group;            /* all but version 3 reports; 0: a general query */
    /* queries */
    unsigned version;          /* 1, 2 or 3, as RFC 3376 section 7.1 tells them apart */
    unsigned max_response_ms;  /* 10 s in version 1 */
    bool suppress;             /* version 3: routers leave their timers alone */
    unsigned robustness;       /* version 3: 0 where it says nothing */
    unsigned interval_s;       /* version 3: 0 where it says nothing */
    unsigned count;            /* version 3: sources */
    const uint8_t *sources;
    /* version 3 reports */
    unsigned records;          /* that igmp_next_record has not given yet */
    const uint8_t *next, *end;
} igmp_message;

/* Reads a whole message and checks all of it, records included, so that nothing of a bad one is acted on. NULL: it is sound;
 * otherwise what is wrong. */
const char *igmp_parse(const uint8_t *octets, size_t size, igmp_message *message);
/* The next record of a version 3 report; records of unknown types are passed over. */
bool igmp_next_record(igmp_message *message, igmp_record *record);

enum { IGMP_MAX_MESSAGE = 65536 };

/* A query, into `to`, of the version that `version` says (no sources but in version 3). Gives its size. */
typedef struct igmp_query {
    unsigned version;
    uint32_t group;
    unsigned max_response_ms, robustness, interval_s;
    bool suppress;
} igmp_query;
size_t igmp_write_query(uint8_t *to, const igmp_query *query, const uint32_t *sources, unsigned count);

/* A message of version 1 or 2 (8 octets). */
size_t igmp_write_old(uint8_t *to, enum igmp_type type, uint32_t group);

/* A version 3 report is begun, gets its records, and is ended. */
size_t igmp_begin_report(uint8_t *to);
size_t igmp_add_record(uint8_t *to, size_t size, enum igmp_record_type type, uint32_t group, const uint32_t *sources,
                       unsigned count);
void igmp_end_report(uint8_t *to, size_t size);

/* The codes of RFC 3376 sections 4.1.1 and 4.1.7: numbers above 127 lose their lowest bits. */
unsigned igmp_code_value(uint8_t code);
uint8_t igmp_value_code(unsigned value);

#endif
