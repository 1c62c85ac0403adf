/* What PIM's unit tests of tables, row by row, have in common: one router, and what it is seen to send. */
#ifndef PIM_ROWS_H
#define PIM_ROWS_H

#include "pim_routers.h"

enum { INFINITE_PREFERENCE = 0x7fffffff };

/* ---- what goes out ---- */

static char sent[512];                /* "join prune assert ": what router 0 put on LAN 1 */
static struct pim_message last;       /* the last message of it; a Join/Prune's record is in last_record */
static struct pim_record last_record;
static uint8_t last_bytes[PIM_MESSAGE_SIZE];

static inline bool watch(unsigned lan, uint32_t from, const uint8_t *bytes, size_t size)
{
    struct pim_message m;
    if (lan != 1 || from != sim_address(0, 1))
        return false;
    memcpy(last_bytes, bytes, size);
    if (pim_parse(last_bytes, size, &m) != NULL || m.type == PIM_HELLO)
        return false;
    last = m;
    if (m.type != PIM_JOIN_PRUNE) {
        strcat(sent, m.type == PIM_ASSERT ? "assert " : m.type == PIM_STATE_REFRESH ? "refresh " : "other ");
        return false;
    }
    while (pim_next_record(&m.u.join_prune, &last_record))
        strcat(sent, last_record.prune ? "prune " : "join ");
    return false;
}

static inline void sent_is(const char *expected, int line)
{
    message_flush(&sim_routers[0].pim);
    if (strcmp(sent, expected) != 0) {
        printf("    line %d: \"%s\" instead of \"%s\"\n", line, sent, expected);
        unit_wrong++;
    }
    sent[0] = 0;
}
#define SENT(expected) sent_is(expected, __LINE__)

/* ---- two routers on a LAN ---- */

/* Router 0 has the source on its LAN 0 (preference 1, metric 10) and router 1 as its neighbour on LAN 1. */
static struct entry *e;
static struct oif *o;
static unsigned self; /* the router that it is about */
static inline void facing(enum mode mode)
{
    self = 0;
    sim_reset();
    for (unsigned r = 0; r < 2; r++) {
        sim_start(r, &default_settings);
        sim_set_route(r, S, r, 0, 10);
        sim_join_lan(r, r, mode);
        sim_join_lan(r, r + 1, mode);
    }
    sim_run(10000);
    e = entry_get(&sim_routers[0].pim, S, G);
    o = oif_get(e, link_of(0, 1));
    e->flows = true;
    if (mode == MODE_SPARSE)
        sparse_downstream(o, false, 210);
    sent[0] = 0;
    sim_drops = watch;
}

/* An assert of another router of LAN 1, whose number is its address. */
static inline void heard(bool rpt, uint32_t preference, uint32_t metric, unsigned router)
{
    const struct metric m = {rpt, preference, metric, sim_address(router, 1)};
    assert_receive(o, &m, 100000);
}

/* What is known of (S,G) on LAN 1; an entry that nobody needs has gone. */
static inline const struct oif *known(void)
{
    e = entry_find(&sim_routers[self].pim, S, G);
    return e ? oif_find(e, link_of(self, 1)) : NULL;
}
static inline bool lost_to(unsigned router, unsigned left)
{
    const struct oif *k = known();
    return k != NULL && k->assert == LOSER && k->winner.address == sim_address(router, 1) && timer_left(&k->assert_timer) == left;
}
static inline bool won(unsigned left)
{
    const struct oif *k = known();
    return k != NULL && k->assert == WINNER && k->winner.address == k->link->address && timer_left(&k->assert_timer) == left;
}
static inline bool nothing(void)
{
    const struct oif *k = known();
    return k == NULL || (k->assert == NO_ASSERT && !k->assert_timer.set);
}

static inline void row(bool holds, const char *what, int line)
{
    if (!holds) {
        printf("    line %d: does not hold: %s\n", line, what);
        unit_wrong++;
    }
}
/* Each begins anew. */
#define ROW(mode, before, what, holds) (facing(mode), before, sent[0] = 0, what, row(holds, #holds, __LINE__))

#endif
