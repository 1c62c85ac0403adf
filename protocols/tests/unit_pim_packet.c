/* PIM messages: what is built, octet by octet, and what is read, sound or not. Ends with "N passed, N failed". */
#include "../common/net.h"
#include "../pim/packet.h"
#include "unit.h"
#include <arpa/inet.h>
#include <stdlib.h>

static uint32_t address(const char *text) { return inet_addr(text); }

/* The octets of a message as hexadecimal text. */
static bool is(const uint8_t *bytes, size_t size, const char *expected)
{
    char text[2 * PIM_MESSAGE_SIZE + 1] = "";
    for (size_t n = 0; n < size; n++)
        snprintf(text + 2 * n, 3, "%02x", bytes[n]);
    if (strcmp(text, expected) != 0)
        printf("    got %s\n", text);
    return strcmp(text, expected) == 0;
}

static const char *parse_summed(uint8_t *bytes, size_t size, struct pim_message *m)
{
    put16(bytes + 2, 0);
    put16(bytes + 2, ip_checksum(bytes, size));
    return pim_parse(bytes, size, m);
}

static struct pim_hello full_hello(void)
{
    struct pim_hello h = {
        .has_holdtime = true, .holdtime = 105, .has_lan_delay = true, .tracking = true, .propagation_ms = 500,
        .override_ms = 2500, .has_priority = true, .priority = 7, .has_generation = true, .generation = 0xdeadbeef,
        .has_state_refresh = true, .refresh_interval = 60, .secondary_count = 2,
    };
    h.secondary[0] = address("10.0.0.2");
    h.secondary[1] = address("10.9.0.1");
    return h;
}

static void hello(void)
{
    struct pim_hello h = full_hello();
    struct pim_message m;
    uint8_t bytes[PIM_MESSAGE_SIZE], again[PIM_MESSAGE_SIZE];
    size_t size = pim_build_hello(bytes, &h);
    CHECK(is(bytes, size, "20009e7c"
                          "000100020069" "0002000481f409c4" "0013000400000007" "00140004deadbeef" "00150004013c0000"
                          "0018000c" "01000a000002" "01000a090001"));
    CHECK(pim_parse(bytes, size, &m) == NULL && m.type == PIM_HELLO);
    CHECK(pim_build_hello(again, &m.u.hello) == size && memcmp(again, bytes, size) == 0);
    for (size_t cut = 0; cut < size; cut++) { /* shorter ones are whole only between two options */
        bool whole = cut == 4 || cut == 10 || cut == 18 || cut == 26 || cut == 34 || cut == 42;
        uint8_t part[PIM_MESSAGE_SIZE];
        memcpy(part, bytes, cut);
        CHECK(cut < 4 ? pim_parse(part, cut, &m) != NULL : (parse_summed(part, cut, &m) == NULL) == whole);
    }
}

static void hello_options_that_are_not_known_or_not_sound(void)
{
    struct pim_message m;
    uint8_t unknown[] = {0x20, 0, 0, 0, 0xfd, 0xe9, 0, 3, 1, 2, 3, 0, 1, 0, 2, 0, 5};
    uint8_t long_one[] = {0x20, 0, 0, 0, 0, 1, 0, 3, 0, 5};
    uint8_t wrong_length[] = {0x20, 0, 0, 0, 0, 20, 0, 2, 0, 5};
    uint8_t foreign[] = {0x20, 0, 0, 0, 0, 24, 0, 18, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    uint8_t refresh_version_2[] = {0x20, 0, 0, 0, 0, 21, 0, 4, 2, 60, 0, 0};
    CHECK(parse_summed(unknown, sizeof unknown, &m) == NULL && m.u.hello.holdtime == 5);
    CHECK(parse_summed(long_one, sizeof long_one, &m) != NULL);
    CHECK(parse_summed(wrong_length, sizeof wrong_length, &m) != NULL);
    CHECK(parse_summed(foreign, sizeof foreign, &m) == NULL && m.u.hello.secondary_count == 0);
    CHECK(parse_summed(refresh_version_2, sizeof refresh_version_2, &m) == NULL && !m.u.hello.has_state_refresh);
}

static void join_prune(void)
{
    struct pim_builder b;
    struct pim_message m;
    struct pim_record r;
    size_t size;
    pim_begin(&b, PIM_JOIN_PRUNE, address("10.0.0.1"), 210, true);
    CHECK(pim_add(&b, address("232.1.1.1"), address("10.1.0.2"), false));
    CHECK(pim_add(&b, address("232.1.1.1"), address("10.1.0.3"), true));
    CHECK(pim_add(&b, address("232.1.1.1"), address("10.1.0.4"), false)); /* joins come first: a set of its own */
    CHECK(pim_add(&b, address("232.1.1.2"), address("10.1.0.2"), false));
    size = pim_end(&b);
    CHECK(is(b.bytes, size, "2300d62c" "01000a000001" "000300d2"
                            "01000020e8010101" "00010001" "010004200a010002" "010004200a010003"
                            "01000020e8010101" "00010000" "010004200a010004"
                            "01000020e8010102" "00010000" "010004200a010002"));
    CHECK(pim_parse(b.bytes, size, &m) == NULL && m.type == PIM_JOIN_PRUNE);
    CHECK(m.u.join_prune.upstream == address("10.0.0.1") && m.u.join_prune.holdtime == 210);
    CHECK(pim_next_record(&m.u.join_prune, &r) && r.source == address("10.1.0.2") && !r.prune);
    CHECK(pim_next_record(&m.u.join_prune, &r) && r.source == address("10.1.0.3") && r.prune);
    CHECK(pim_next_record(&m.u.join_prune, &r) && r.source == address("10.1.0.4") && !r.prune);
    CHECK(pim_next_record(&m.u.join_prune, &r) && r.group == address("232.1.1.2") && !r.prune);
    CHECK(!pim_next_record(&m.u.join_prune, &r));
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t part[PIM_MESSAGE_SIZE];
        memcpy(part, b.bytes, cut);
        CHECK(cut < 4 ? pim_parse(part, cut, &m) != NULL : parse_summed(part, cut, &m) != NULL);
    }
    pim_begin(&b, PIM_GRAFT, address("10.0.0.1"), 0, false); /* dense mode: no sparse bit */
    CHECK(pim_add(&b, address("239.1.1.1"), address("10.1.0.2"), false));
    CHECK(is(b.bytes, pim_end(&b), "2600d2b6" "01000a000001" "00010000" "01000020ef010101" "00010000" "010000200a010002"));
}

static void a_message_is_never_longer_than_a_frame(void)
{
    struct pim_builder b;
    struct pim_message m;
    struct pim_record r;
    uint32_t count = 0, read = 0;
    pim_begin(&b, PIM_JOIN_PRUNE, address("10.0.0.1"), 210, true);
    while (pim_add(&b, htonl(0xe8010000 + count / 3), htonl(0x0a000001 + count), count % 3 == 2))
        count++;
    CHECK(pim_end(&b) <= PIM_MESSAGE_SIZE && b.size > PIM_MESSAGE_SIZE - 20);
    CHECK(pim_parse(b.bytes, b.size, &m) == NULL);
    while (pim_next_record(&m.u.join_prune, &r)) {
        CHECK(r.group == htonl(0xe8010000 + read / 3) && r.source == htonl(0x0a000001 + read) && r.prune == (read % 3 == 2));
        read++;
    }
    CHECK(read == count && count > 100);
}

/* Offsets: 4 upstream, 14 the first group set, 26 its source. */
static void join_prune_records_of_no_concern_and_unsound(void)
{
    struct pim_builder b;
    struct pim_message m;
    struct pim_record r;
    uint8_t *bytes = b.bytes;
    size_t size;
#define AGAIN                                                                 \
    pim_begin(&b, PIM_JOIN_PRUNE, address("10.0.0.1"), 210, true);            \
    pim_add(&b, address("232.1.1.1"), address("10.1.0.2"), false);            \
    size = pim_end(&b)
    AGAIN;
    bytes[28] |= 3; /* (*,G): W and R */
    CHECK(parse_summed(bytes, size, &m) == NULL && !pim_next_record(&m.u.join_prune, &r));
    AGAIN;
    bytes[28] |= 1; /* (S,G,rpt) */
    CHECK(parse_summed(bytes, size, &m) == NULL && !pim_next_record(&m.u.join_prune, &r));
    AGAIN;
    bytes[17] = 4; /* a group range */
    CHECK(parse_summed(bytes, size, &m) == NULL && !pim_next_record(&m.u.join_prune, &r));
    AGAIN;
    bytes[1] = 0xff, bytes[10] = 0xff, bytes[16] = 0xff, bytes[28] |= 0xf8; /* reserved bits, S, B and Z are ignored */
    CHECK(parse_summed(bytes, size, &m) == NULL && pim_next_record(&m.u.join_prune, &r) && r.source == address("10.1.0.2"));
    AGAIN;
    bytes[29] = 31; /* a source's mask */
    CHECK(parse_summed(bytes, size, &m) != NULL);
    AGAIN;
    bytes[17] = 33;
    CHECK(parse_summed(bytes, size, &m) != NULL);
    AGAIN;
    bytes[18] = 10; /* the group is no multicast address */
    CHECK(parse_summed(bytes, size, &m) != NULL);
    AGAIN;
    bytes[30] = 224; /* the source is one */
    CHECK(parse_summed(bytes, size, &m) != NULL);
    AGAIN;
    bytes[30] = 0;
    CHECK(parse_summed(bytes, size, &m) != NULL);
    for (unsigned at = 4; at <= 26; at += at == 4 ? 10 : 12) { /* family and encoding of each address */
        AGAIN;
        bytes[at] = 2;
        CHECK(parse_summed(bytes, size, &m) != NULL);
        AGAIN;
        bytes[at + 1] = 1;
        CHECK(parse_summed(bytes, size, &m) != NULL);
    }
    AGAIN;
    bytes[22] = 0xff, bytes[24] = 0xff; /* 65,000 sources of each kind */
    CHECK(parse_summed(bytes, size, &m) != NULL);
    AGAIN;
    bytes[11] = 255; /* groups */
    CHECK(parse_summed(bytes, size, &m) != NULL);
#undef AGAIN
}

static bool same_assert(const struct pim_assert *a, const struct pim_assert *b)
{
    return a->group == b->group && a->source == b->source && a->rpt == b->rpt && a->preference == b->preference &&
           a->metric == b->metric;
}

static void assert_and_refresh(void)
{
    struct pim_assert a = {address("239.1.1.1"), address("10.1.0.2"), false, 110, 20}, cancel = a;
    struct pim_refresh s = {a, address("10.1.0.1"), 24, 15, 60, true, false, true};
    struct pim_message m;
    uint8_t bytes[PIM_MESSAGE_SIZE], part[PIM_MESSAGE_SIZE];
    size_t size = pim_build_assert(bytes, &a);
    CHECK(is(bytes, size, "2500de57" "01000020ef010101" "01000a010002" "0000006e" "00000014"));
    CHECK(pim_parse(bytes, size, &m) == NULL && m.type == PIM_ASSERT && same_assert(&m.u.assert, &a));
    for (size_t cut = 4; cut < size; cut++) {
        memcpy(part, bytes, cut);
        CHECK(parse_summed(part, cut, &m) != NULL);
    }
    cancel.rpt = true, cancel.preference = 0x7fffffff, cancel.metric = 0xffffffff;
    size = pim_build_assert(bytes, &cancel);
    CHECK(pim_parse(bytes, size, &m) == NULL && same_assert(&m.u.assert, &cancel));
    bytes[14] = bytes[15] = bytes[16] = bytes[17] = 0; /* (*,G) has no source */
    CHECK(parse_summed(bytes, size, &m) == NULL && m.u.assert.source == 0);
    bytes[18] &= 0x7f; /* without the RPT bit there must be one */
    CHECK(parse_summed(bytes, size, &m) != NULL);

    size = pim_build_refresh(bytes, &s);
    CHECK(is(bytes, size, "2900170a" "01000020ef010101" "01000a010002" "01000a010001" "0000006e" "00000014" "180fa03c"));
    CHECK(pim_parse(bytes, size, &m) == NULL && m.type == PIM_STATE_REFRESH && same_assert(&m.u.refresh.metric, &s.metric));
    CHECK(m.u.refresh.originator == s.originator && m.u.refresh.mask_length == 24 && m.u.refresh.ttl == 15 && m.u.refresh.interval == 60);
    CHECK(m.u.refresh.prune && !m.u.refresh.prune_now && m.u.refresh.override);
    for (size_t cut = 4; cut < size; cut++) {
        memcpy(part, bytes, cut);
        CHECK(parse_summed(part, cut, &m) != NULL);
    }
    bytes[34] |= 0x1f; /* reserved */
    CHECK(parse_summed(bytes, size, &m) == NULL);
    bytes[32] = 33;
    CHECK(parse_summed(bytes, size, &m) != NULL);
}

static void header(void)
{
    struct pim_assert a = {address("239.1.1.1"), address("10.1.0.2"), false, 110, 20};
    struct pim_message m;
    uint8_t bytes[PIM_MESSAGE_SIZE];
    size_t size = pim_build_assert(bytes, &a);
    for (size_t bit = 0; bit < 8 * size; bit++) { /* the checksum covers all of it */
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(pim_parse(bytes, size, &m) != NULL);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    bytes[0] = 0x15; /* version 1 */
    CHECK(parse_summed(bytes, size, &m) != NULL);
    for (unsigned type = 0; type < 16; type++) {
        static const bool known[16] = {[0] = true, [3] = true, [5] = true, [6] = true, [7] = true, [9] = true};
        uint8_t empty[4] = {(uint8_t)(0x20 | type)};
        const char *wrong = parse_summed(empty, 4, &m);
        CHECK((wrong == NULL || strcmp(wrong, "too short") == 0) == known[type]);
    }
}

int main(void)
{
    RUN(hello);
    RUN(hello_options_that_are_not_known_or_not_sound);
    RUN(join_prune);
    RUN(a_message_is_never_longer_than_a_frame);
    RUN(join_prune_records_of_no_concern_and_unsound);
    RUN(assert_and_refresh);
    RUN(header);
    return unit_end();
}
