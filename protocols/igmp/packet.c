#include "packet.h"
#include "../common/net.h"
#include <string.h>

unsigned igmp_code_value(uint8_t code)
{
    return code < 128 ? code : ((code & 0x0fu) | 0x10u) << (((code >> 4) & 7u) + 3);
}

uint8_t igmp_value_code(unsigned value)
{
    unsigned exponent = 0;
    if (value < 128)
        return (uint8_t)value;
    if (value > 31744) /* the greatest that can be written */
        value = 31744;
    value >>= 3;
    while (value > 31) {
        value >>= 1;
        exponent++;
    }
    return (uint8_t)(0x80 | exponent << 4 | (value & 0x0f));
}

/* ---- reading ---------------------------------------------------------------------------------------- */

static const char *parse_query(const uint8_t *octets, size_t size, igmp_message *m)
{
    m->group = get_address(octets + 4);
    if (m->group != 0 && !is_multicast(m->group))
        return "a query for what is no group";
    if (size == 8) {
        m->version = octets[1] == 0 ? 1 : 2;
        m->max_response_ms = octets[1] == 0 ? 10000 : octets[1] * 100u;
        return NULL;
    }
    if (size < 12)
        return "a query of 9 to 11 octets";
    m->version = 3;
    m->max_response_ms = igmp_code_value(octets[1]) * 100;
    m->suppress = (octets[8] & 8) != 0;
    m->robustness = octets[8] & 7;
    m->interval_s = igmp_code_value(octets[9]);
    m->count = get16(octets + 10);
    m->sources = octets + 12;
    if (m->count > (size - 12) / 4)
        return "a query with more sources than octets";
    if (m->group == 0 && m->count > 0)
        return "a query with sources and without a group";
    return NULL;
}

/* Reads one record at `at`. Gives its size, 0 where it does not fit. */
static size_t read_record(const uint8_t *at, const uint8_t *end, igmp_record *record)
{
    size_t left = (size_t)(end - at), size;
    if (left < 8)
        return 0;
    record->type = (enum igmp_record_type)at[0];
    record->count = get16(at + 2);
    record->group = get_address(at + 4);
    record->sources = at + 8;
    size = 8 + 4 * (size_t)record->count + 4 * (size_t)at[1];
    return size > left ? 0 : size;
}

static const char *parse_report(const uint8_t *octets, size_t size, igmp_message *m)
{
    const uint8_t *at = octets + 8;
    m->records = get16(octets + 6);
    m->next = at;
    m->end = octets + size;
    for (unsigned n = 0; n < m->records; n++) {
        igmp_record record;
        size_t length = read_record(at, m->end, &record);
        if (length == 0)
            return "a report whose records do not fit";
        if (!is_multicast(record.group))
            return "a record for what is no group";
        at += length;
    }
    return NULL; /* what follows the last record is ignored (section 4.2.11) */
}

const char *igmp_parse(const uint8_t *octets, size_t size, igmp_message *m)
{
    memset(m, 0, sizeof *m);
    if (size < 8)
        return "shorter than 8 octets";
    if (ip_checksum(octets, size) != 0)
        return "a wrong IGMP checksum";
    m->type = (enum igmp_type)octets[0];
    switch (octets[0]) {
    case IGMP_QUERY:
        return parse_query(octets, size, m);
    case IGMP_V3_REPORT:
        return parse_report(octets, size, m);
    case IGMP_V1_REPORT:
    case IGMP_V2_REPORT:
    case IGMP_V2_LEAVE:
        m->group = get_address(octets + 4);
        return is_multicast(m->group) ? NULL : "a report for what is no group";
    default:
        return "an unknown type";
    }
}

bool igmp_next_record(igmp_message *m, igmp_record *record)
{
    while (m->records > 0) {
        size_t size = read_record(m->next, m->end, record);
        if (size == 0)
            return false;
        m->records--;
        m->next += size;
        if (record->type >= IS_IN && record->type <= BLOCK)
            return true;
    }
    return false;
}

/* ---- writing ---------------------------------------------------------------------------------------- */

static size_t finish(uint8_t *to, size_t size)
{
    put16(to + 2, 0);
    put16(to + 2, ip_checksum(to, size));
    return size;
}

size_t igmp_write_query(uint8_t *to, const igmp_query *query, const uint32_t *sources, unsigned count)
{
    unsigned tenths = query->max_response_ms / 100;
    memset(to, 0, 12);
    to[0] = IGMP_QUERY;
    put_address(to + 4, query->group);
    if (query->version < 3) {
        to[1] = query->version == 1 ? 0 : (uint8_t)(tenths == 0 ? 1 : tenths > 255 ? 255 : tenths);
        return finish(to, 8);
    }
    to[1] = igmp_value_code(tenths);
    to[8] = (uint8_t)((query->suppress ? 8 : 0) | (query->robustness > 7 ? 0 : query->robustness));
    to[9] = igmp_value_code(query->interval_s);
    put16(to + 10, (uint16_t)count);
    for (unsigned n = 0; n < count; n++)
        put_address(to + 12 + 4 * n, sources[n]);
    return finish(to, 12 + 4 * (size_t)count);
}

size_t igmp_write_old(uint8_t *to, enum igmp_type type, uint32_t group)
{
    memset(to, 0, 8);
    to[0] = (uint8_t)type;
    put_address(to + 4, group);
    return finish(to, 8);
}

size_t igmp_begin_report(uint8_t *to)
{
    memset(to, 0, 8);
    to[0] = IGMP_V3_REPORT;
    return 8;
}

size_t igmp_add_record(uint8_t *to, size_t size, enum igmp_record_type type, uint32_t group, const uint32_t *sources,
                       unsigned count)
{
    put16(to + 6, (uint16_t)(get16(to + 6) + 1));
    to[size] = (uint8_t)type;
    to[size + 1] = 0;
    put16(to + size + 2, (uint16_t)count);
    put_address(to + size + 4, group);
    size += 8;
    for (unsigned n = 0; n < count; n++, size += 4)
        put_address(to + size, sources[n]);
    return size;
}

void igmp_end_report(uint8_t *to, size_t size) { finish(to, size); }
