/* PIM messages as bytes: see packet.h. */
#include "packet.h"
#include "../common/net.h"
#include <string.h>

enum {
    HEADER = 4,
    UNICAST = 6, GROUP = 8, SOURCE = 8, /* encoded addresses */
    SET = GROUP + 4,                    /* a group and its two counts */
    OPTION_HOLDTIME = 1, OPTION_LAN_DELAY = 2, OPTION_PRIORITY = 19, OPTION_GENERATION = 20,
    OPTION_STATE_REFRESH = 21, OPTION_ADDRESS_LIST = 24,
    IPV4 = 1, /* address family, with encoding type 0 */
    SPARSE = 4, WILDCARD = 2, RPT = 1
};
#define RPT_BIT 0x80000000u

/* Each writes at `at` and gives where to go on. */
static uint8_t *add8(uint8_t *at, unsigned value)
{
    *at = (uint8_t)value;
    return at + 1;
}
static uint8_t *add16(uint8_t *at, unsigned value) { return add8(add8(at, value >> 8), value); }
static uint8_t *add32(uint8_t *at, uint32_t value) { return add16(add16(at, value >> 16), value); }
static uint8_t *add_address(uint8_t *at, uint32_t address)
{
    memcpy(at, &address, 4);
    return at + 4;
}

/* ---- reading -------------------------------------------------------------------------------------- */

static bool is_ipv4(const uint8_t *at) { return at[0] == IPV4 && at[1] == 0; }

static const char *read_address_list(const uint8_t *at, size_t size, struct pim_hello *hello)
{
    for (; size >= UNICAST && is_ipv4(at); at += UNICAST, size -= UNICAST)
        if (hello->secondary_count < PIM_MAX_SECONDARY)
            hello->secondary[hello->secondary_count++] = get_address(at + 2);
    return size > 0 && size < UNICAST ? "an address list with half an address" : NULL;
}

static const char *read_hello(const uint8_t *at, const uint8_t *end, struct pim_hello *hello)
{
    static const char bad_length[] = "a hello option with a wrong length";
    memset(hello, 0, sizeof *hello);
    while (at < end) {
        unsigned option;
        size_t size;
        if (end - at < 4)
            return "half a hello option";
        option = get16(at);
        size = get16(at + 2);
        at += 4;
        if (size > (size_t)(end - at))
            return "a hello option longer than the message";
        switch (option) {
        case OPTION_HOLDTIME:
            if (size != 2)
                return bad_length;
            hello->has_holdtime = true;
            hello->holdtime = get16(at);
            break;
        case OPTION_LAN_DELAY:
            if (size != 4)
                return bad_length;
            hello->has_lan_delay = true;
            hello->tracking = at[0] >> 7;
            hello->propagation_ms = get16(at) & 0x7fff;
            hello->override_ms = get16(at + 2);
            break;
        case OPTION_PRIORITY:
            if (size != 4)
                return bad_length;
            hello->has_priority = true;
            hello->priority = get32(at);
            break;
        case OPTION_GENERATION:
            if (size != 4)
                return bad_length;
            hello->has_generation = true;
            hello->generation = get32(at);
            break;
        case OPTION_STATE_REFRESH:
            if (size != 4)
                return bad_length;
            hello->has_state_refresh = at[0] == 1; /* the version */
            hello->refresh_interval = at[1];
            break;
        case OPTION_ADDRESS_LIST: {
            const char *wrong = read_address_list(at, size, hello);
            if (wrong != NULL)
                return wrong;
            break;
        }
        default: /* unknown options are ignored */
            break;
        }
        at += size;
    }
    return NULL;
}

/* Walks all records of the message once, so that pim_next_record need not check anything. */
static const char *read_join_prune(const uint8_t *at, const uint8_t *end,
                                   struct pim_join_prune *message)
{
    unsigned groups;
    if (end - at < UNICAST + 4)
        return "too short";
    if (!is_ipv4(at))
        return "an upstream neighbour that is no IPv4 address";
    memset(message, 0, sizeof *message);
    message->upstream = get_address(at + 2);
    message->groups = groups = at[UNICAST + 1];
    message->holdtime = get16(at + UNICAST + 2);
    message->at = at += UNICAST + 4;
    message->end = end;
    for (; groups > 0; groups--) {
        size_t sources;
        if (end - at < SET)
            return "fewer groups than it says";
        if (!is_ipv4(at))
            return "a group that is no IPv4 address";
        if (at[3] > 32 || !is_multicast(get_address(at + 4)))
            return "a group that is no multicast address";
        sources = (size_t)get16(at + GROUP) + get16(at + GROUP + 2);
        at += SET;
        if (sources > (size_t)(end - at) / SOURCE)
            return "fewer sources than it says";
        for (; sources > 0; sources--, at += SOURCE) {
            if (!is_ipv4(at))
                return "a source that is no IPv4 address";
            if (at[3] != 32)
                return "a source with a mask that is not all ones";
            if ((at[2] & WILDCARD) == 0 && !is_host_address(get_address(at + 4)))
                return "a source that is no host's address";
        }
    }
    return NULL;
}

bool pim_next_record(struct pim_join_prune *message, struct pim_record *record)
{
    for (;;) {
        const uint8_t *at = message->at;
        if (message->joins == 0 && message->prunes == 0) {
            if (message->groups == 0)
                return false;
            message->groups--;
            message->group = get_address(at + 4);
            message->group_range = at[3] != 32;
            message->joins = get16(at + GROUP);
            message->prunes = get16(at + GROUP + 2);
            message->at += SET;
            continue;
        }
        record->group = message->group;
        record->source = get_address(at + 4);
        record->prune = message->joins == 0;
        if (message->joins > 0)
            message->joins--;
        else
            message->prunes--;
        message->at += SOURCE;
        if (!message->group_range && (at[2] & (WILDCARD | RPT)) == 0)
            return true;
    }
}

/* What an assert and a state refresh begin with; the latter has the originator in between. */
static const char *read_key(const uint8_t *at, struct pim_assert *assert)
{
    if (!is_ipv4(at) || !is_ipv4(at + GROUP))
        return "an address that is no IPv4 address";
    assert->group = get_address(at + 4);
    assert->source = get_address(at + GROUP + 2);
    if (at[3] != 32 || !is_multicast(assert->group))
        return "a group that is no single multicast address";
    return NULL;
}

static void read_metric(const uint8_t *at, struct pim_assert *assert)
{
    assert->rpt = (get32(at) & RPT_BIT) != 0;
    assert->preference = get32(at) & ~RPT_BIT;
    assert->metric = get32(at + 4);
}

static const char *read_assert(const uint8_t *at, const uint8_t *end, struct pim_assert *assert)
{
    const char *wrong;
    if (end - at < GROUP + UNICAST + 8)
        return "too short";
    if ((wrong = read_key(at, assert)) != NULL)
        return wrong;
    read_metric(at + GROUP + UNICAST, assert);
    if (!is_host_address(assert->source) && !(assert->rpt && assert->source == 0))
        return "a source that is no host's address";
    return NULL;
}

static const char *read_refresh(const uint8_t *at, const uint8_t *end, struct pim_refresh *refresh)
{
    const char *wrong;
    if (end - at < GROUP + 2 * UNICAST + 12)
        return "too short";
    if ((wrong = read_key(at, &refresh->metric)) != NULL)
        return wrong;
    at += GROUP + UNICAST;
    if (!is_ipv4(at) || !is_host_address(refresh->metric.source))
        return "a source or originator that is no host's address";
    refresh->originator = get_address(at + 2);
    at += UNICAST;
    read_metric(at, &refresh->metric);
    refresh->metric.rpt = false; /* ignored upon receipt */
    refresh->mask_length = at[8];
    refresh->ttl = at[9];
    refresh->prune = at[10] >> 7 & 1;
    refresh->prune_now = at[10] >> 6 & 1;
    refresh->override = at[10] >> 5 & 1;
    refresh->interval = at[11];
    return refresh->mask_length > 32 ? "a mask longer than an address" : NULL;
}

const char *pim_parse(const uint8_t *bytes, size_t size, struct pim_message *message)
{
    const uint8_t *at, *end = bytes + size;
    if (size < HEADER)
        return "too short";
    at = bytes + HEADER;
    if (bytes[0] >> 4 != PIM_VERSION)
        return "not version 2";
    if (ip_checksum(bytes, size) != 0)
        return "a wrong checksum";
    message->type = (enum pim_type)(bytes[0] & 15);
    switch (message->type) {
    case PIM_HELLO:
        return read_hello(at, end, &message->u.hello);
    case PIM_JOIN_PRUNE:
    case PIM_GRAFT:
    case PIM_GRAFT_ACK:
        return read_join_prune(at, end, &message->u.join_prune);
    case PIM_ASSERT:
        return read_assert(at, end, &message->u.assert);
    case PIM_STATE_REFRESH:
        return read_refresh(at, end, &message->u.refresh);
    }
    return "a type that is not spoken here";
}

/* ---- building ------------------------------------------------------------------------------------- */

static uint8_t *begin(uint8_t *bytes, enum pim_type type)
{
    return add16(add16(bytes, (unsigned)(PIM_VERSION << 4 | type) << 8), 0);
}

static size_t finish(uint8_t *bytes, const uint8_t *end)
{
    size_t size = (size_t)(end - bytes);
    put16(bytes + 2, ip_checksum(bytes, size));
    return size;
}

static uint8_t *add_unicast(uint8_t *at, uint32_t address)
{
    return add_address(add16(at, IPV4 << 8), address);
}
static uint8_t *add_group(uint8_t *at, uint32_t group)
{
    return add_address(add16(add16(at, IPV4 << 8), 32), group);
}

size_t pim_build_hello(uint8_t *bytes, const struct pim_hello *hello)
{
    uint8_t *at = begin(bytes, PIM_HELLO);
    unsigned n;
    if (hello->has_holdtime)
        at = add16(add32(at, OPTION_HOLDTIME << 16 | 2), hello->holdtime);
    if (hello->has_lan_delay) {
        at = add32(at, OPTION_LAN_DELAY << 16 | 4);
        at = add16(at, (unsigned)hello->tracking << 15 | (hello->propagation_ms & 0x7fff));
        at = add16(at, hello->override_ms);
    }
    if (hello->has_priority)
        at = add32(add32(at, OPTION_PRIORITY << 16 | 4), hello->priority);
    if (hello->has_generation)
        at = add32(add32(at, OPTION_GENERATION << 16 | 4), hello->generation);
    if (hello->has_state_refresh)
        at = add32(add32(at, OPTION_STATE_REFRESH << 16 | 4),
                   1u << 24 | (uint32_t)hello->refresh_interval << 16);
    if (hello->secondary_count > 0) {
        unsigned count = hello->secondary_count < PIM_MAX_SECONDARY ? hello->secondary_count
                                                                    : PIM_MAX_SECONDARY;
        at = add16(add16(at, OPTION_ADDRESS_LIST), count * UNICAST);
        for (n = 0; n < count; n++)
            at = add_unicast(at, hello->secondary[n]);
    }
    return finish(bytes, at);
}

static uint8_t *add_metric(uint8_t *at, const struct pim_assert *assert)
{
    uint32_t preference = assert->preference & ~RPT_BIT;
    return add32(add32(at, preference | (assert->rpt ? RPT_BIT : 0)), assert->metric);
}

size_t pim_build_assert(uint8_t *bytes, const struct pim_assert *assert)
{
    uint8_t *at = add_group(begin(bytes, PIM_ASSERT), assert->group);
    return finish(bytes, add_metric(add_unicast(at, assert->source), assert));
}

size_t pim_build_refresh(uint8_t *bytes, const struct pim_refresh *refresh)
{
    uint8_t *at = add_group(begin(bytes, PIM_STATE_REFRESH), refresh->metric.group);
    at = add_unicast(add_unicast(at, refresh->metric.source), refresh->originator);
    at = add_metric(at, &refresh->metric);
    at = add8(add8(at, refresh->mask_length), refresh->ttl);
    at = add8(at, (unsigned)refresh->prune << 7 | (unsigned)refresh->prune_now << 6 |
                      (unsigned)refresh->override << 5);
    return finish(bytes, add8(at, refresh->interval));
}

enum { GROUP_COUNT = HEADER + UNICAST + 1 }; /* where a Join/Prune has it */

void pim_begin(struct pim_builder *builder, enum pim_type type, uint32_t upstream,
               uint16_t holdtime, bool sparse)
{
    uint8_t *at = add_unicast(begin(builder->bytes, type), upstream);
    at = add16(add16(at, 0), holdtime);
    builder->size = (size_t)(at - builder->bytes);
    builder->set = NULL;
    builder->sparse = sparse;
}

bool pim_add(struct pim_builder *builder, uint32_t group, uint32_t source, bool prune)
{
    uint8_t *set = builder->set, *count;
    bool same = set != NULL && get_address(set + 4) == group && get16(set + GROUP) < 0xffff &&
                (prune || get16(set + GROUP + 2) == 0);
    if (builder->size + SOURCE + (same ? 0 : SET) > sizeof builder->bytes ||
        (!same && builder->bytes[GROUP_COUNT] == 255))
        return false;
    if (!same) {
        builder->set = set = builder->bytes + builder->size;
        add32(add_group(set, group), 0);
        builder->size += SET;
        builder->bytes[GROUP_COUNT]++;
    }
    add_address(add32(builder->bytes + builder->size,
                      (uint32_t)IPV4 << 24 | (builder->sparse ? SPARSE << 8 : 0) | 32), source);
    builder->size += SOURCE;
    count = set + GROUP + (prune ? 2 : 0);
    put16(count, (uint16_t)(get16(count) + 1));
    return true;
}

size_t pim_end(struct pim_builder *builder)
{
    return finish(builder->bytes, builder->bytes + builder->size);
}
