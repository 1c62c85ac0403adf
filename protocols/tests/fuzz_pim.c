/* Fuzzes PIM: any octets as messages, with right checksums and also in between what sets the state machines going. What must hold:
 * nothing is read or written where it should not be, a message that was read is built again as it was, memory is bounded and freed.
 *
 * without: loop.c iface.c manager.c options.c router.c route.c */
#include "../common/net.h"
#include "pim_sim.h"

#define S htonl(0x0a630002)
#define G htonl(0xe8010101)

typedef struct input {
    const uint8_t *at;
    size_t left;
} input;

static unsigned octet(input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

static void must(bool holds)
{
    if (!holds)
        __builtin_trap();
}

/* A message of the fuzzer's own, or one of ours that it damages. */
static size_t make_message(input *in, uint8_t *bytes, unsigned lan)
{
    unsigned kind = octet(in);
    uint32_t group = octet(in) & 1 ? G : htonl(0xef010100 + octet(in) % 4), source = octet(in) & 1 ? S : htonl(0x0a630000 + octet(in) % 4);
    struct pim_assert assert = {group, source, octet(in) & 1, octet(in) % 3, octet(in)};
    struct pim_refresh refresh = {assert, S, 24, (uint8_t)octet(in), (uint8_t)octet(in), octet(in) & 1, false, false};
    struct pim_hello hello = {.has_holdtime = true, .holdtime = (uint16_t)(octet(in) * 2), .has_generation = octet(in) & 1,
                              .generation = octet(in) % 4, .has_lan_delay = octet(in) & 1, .override_ms = (uint16_t)(octet(in) * 16),
                              .has_priority = octet(in) & 1, .priority = octet(in), .has_state_refresh = octet(in) & 1};
    struct pim_builder b;
    size_t size;
    switch (kind % 8) {
    case 0: return pim_build_hello(bytes, &hello);
    case 1: return pim_build_assert(bytes, &assert);
    case 2: return pim_build_refresh(bytes, &refresh);
    case 3: case 4: case 5:
        pim_begin(&b, kind % 8 == 3 ? PIM_JOIN_PRUNE : kind % 8 == 4 ? PIM_GRAFT : PIM_GRAFT_ACK, sim_address(octet(in) % 4, lan),
                  (uint16_t)(octet(in) * 2), true);
        for (unsigned n = octet(in) % 8; n > 0; n--)
            pim_add(&b, htonl(0xe8010101 + octet(in) % 4), htonl(0x0a630002 + octet(in) % 4), octet(in) & 1);
        size = pim_end(&b);
        memcpy(bytes, b.bytes, size);
        return size;
    default:
        size = octet(in);
        for (size_t n = 0; n < size; n++)
            bytes[n] = (uint8_t)octet(in);
        if (size > 0 && kind % 2 == 0)
            bytes[0] = 0x20 | (bytes[0] & 15);
        return size;
    }
}

static void built_again(const uint8_t *bytes, size_t size)
{
    struct pim_message m, again;
    uint8_t copy[PIM_MESSAGE_SIZE];
    size_t length = 0;
    if (pim_parse(bytes, size, &m) != NULL)
        return;
    if (m.type == PIM_HELLO)
        length = pim_build_hello(copy, &m.u.hello);
    else if (m.type == PIM_ASSERT)
        length = pim_build_assert(copy, &m.u.assert);
    else if (m.type == PIM_STATE_REFRESH)
        length = pim_build_refresh(copy, &m.u.refresh);
    if (length > 0) {
        must(pim_parse(copy, length, &again) == NULL && again.type == m.type);
        must(m.type != PIM_ASSERT || memcmp(&m.u.assert, &again.u.assert, sizeof m.u.assert.group * 2) == 0);
        return;
    }
    struct pim_record r;
    struct pim_builder b;
    unsigned records = 0, found = 0;
    pim_begin(&b, m.type, m.u.join_prune.upstream, m.u.join_prune.holdtime, true);
    while (pim_next_record(&m.u.join_prune, &r))
        records += pim_add(&b, r.group, r.source, r.prune);
    must(pim_parse(b.bytes, pim_end(&b), &again) == NULL);
    while (pim_next_record(&again.u.join_prune, &r))
        found++;
    must(found == records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings settings = default_settings;
    input in = {data, size};
    log_level = LEVEL_OFF;
    settings.max_entries = 20;
    sim_reset();
    for (unsigned r = 0; r < 3; r++) { /* a chain, with a router of both modes in the middle */
        sim_start(r, &settings);
        sim_set_route(r, S, r, r == 0 ? 0 : r - 1, r);
        sim_join_lan(r, r, octet(&in) & 1 ? MODE_DENSE : MODE_SPARSE);
        sim_join_lan(r, r + 1, octet(&in) & 1 ? MODE_DENSE : MODE_SPARSE);
    }
    sim_run(6000);
    while (in.left > 0) {
        static uint8_t bytes[65536];
        unsigned what = octet(&in), router = octet(&in) % 3, lan = router + octet(&in) % 2;
        struct link *l = sim_link(router, lan);
        if (l == NULL)
            l = sim_join_lan(router, lan, octet(&in) & 1 ? MODE_DENSE : MODE_SPARSE);
        switch (what % 8) {
        case 0:
            pim_local(l, octet(&in) & 1 ? S : 0, octet(&in) & 1 ? G : htonl(0xef010101), octet(&in) & 1);
            break;
        case 1:
            pim_external(l->pim, octet(&in) & 1 ? S : 0, octet(&in) & 1 ? G : 0, octet(&in) & 1);
            break;
        case 2:
            sim_packet(octet(&in) % 4, S, octet(&in) & 1 ? G : htonl(0xef010101));
            break;
        case 3:
            sim_run(octet(&in) * 997u);
            break;
        case 4:
            if (octet(&in) % 4 == 0)
                pim_link_remove(l);
            else
                sim_set_route(router, S, octet(&in) % 4, octet(&in) % 3, octet(&in));
            break;
        default: {
            size_t length = make_message(&in, bytes, lan);
            if (what & 0x40 && length >= 4) { /* damaged, with a right checksum even so */
                bytes[octet(&in) % length] ^= (uint8_t)octet(&in);
                put16(bytes + 2, 0);
                put16(bytes + 2, ip_checksum(bytes, length));
            }
            built_again(bytes, length);
            pim_receive(l, sim_address(octet(&in) % 4, lan), octet(&in) & 1 ? htonl(0xe000000d) : l->address, bytes, length);
        }
        }
        for (unsigned r = 0; r < 3; r++)
            must(sim_routers[r].pim.entry_count <= 20);
    }
    sim_run(1000);
    sim_reset();
    must(sim_timers == NULL);
    return 0;
}
