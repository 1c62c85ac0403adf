/* How the routers of PIM's unit tests stand, and what is asked of them. */
#ifndef PIM_ROUTERS_H
#define PIM_ROUTERS_H

#include "pim_sim.h"
#include "unit.h"

#define G htonl(0xe8010101) /* 232.1.1.1 */
#define S htonl(0x0a630002) /* 10.99.0.2 */

/* Every router is told the way to S before it starts; LAN and neighbour as the test wants. */
static inline struct link *link_of(unsigned router, unsigned lan) { return sim_link(router, lan); }
static inline enum downstream down(unsigned router, unsigned lan)
{
    struct entry *e = entry_find(&sim_routers[router].pim, S, G);
    struct oif *o = e ? oif_find(e, link_of(router, lan)) : NULL;
    return o ? o->down : NO_INFO;
}
static inline enum assert_state asserts(unsigned router, unsigned lan)
{
    struct entry *e = entry_find(&sim_routers[router].pim, S, G);
    struct oif *o = e ? oif_find(e, link_of(router, lan)) : NULL;
    return o ? o->assert : NO_ASSERT;
}
static inline bool forwards(unsigned router, unsigned lan)
{
    struct entry *e = entry_find(&sim_routers[router].pim, S, G);
    struct oif *o = e ? oif_find(e, link_of(router, lan)) : NULL;
    return o != NULL && o->on;
}
static inline enum upstream up(unsigned router)
{
    struct entry *e = entry_find(&sim_routers[router].pim, S, G);
    return e ? e->up : NOT_JOINED;
}

/* A packet; gives how many copies came onto the LAN. */
static inline unsigned copies(unsigned source_lan, unsigned lan)
{
    unsigned before = sim_data[lan];
    sim_packet(source_lan, S, G);
    sim_run(5);
    return sim_data[lan] - before;
}

/* Routers 0 and 1 on LAN 0. */
static inline void two_on_a_lan(enum mode mode)
{
    sim_reset();
    for (unsigned r = 0; r < 2; r++) {
        sim_start(r, &default_settings);
        sim_join_lan(r, 0, mode);
    }
    sim_run(10000);
}

/* Source LAN 0 - router 0 - LAN 1 - router 1 - LAN 2 - router 2 - LAN 3 with members. */
static inline void chain(enum mode mode, const struct settings *settings)
{
    sim_reset();
    for (unsigned r = 0; r < 3; r++) {
        sim_start(r, settings);
        sim_set_route(r, S, r, r == 0 ? 0 : r - 1, r);
        sim_join_lan(r, r, mode);
        sim_join_lan(r, r + 1, mode);
    }
    sim_run(10000);
}

/* Routers 1 and 2 on LAN 1 below router 0, both with members. */
static inline void siblings(enum mode mode)
{
    sim_reset();
    for (unsigned r = 0; r < 3; r++) {
        sim_start(r, &default_settings);
        sim_set_route(r, S, r == 0 ? 0 : 1, 0, 1);
        sim_join_lan(r, 1, mode);
        sim_join_lan(r, r == 0 ? 0 : r + 1, mode);
    }
    sim_run(10000);
}

/* Routers 0 and 1 both reach the source on LAN 0 and are on LAN 1; routers 2 and 3 are below, each with the other one as its
 * neighbour upstream. */
static inline void two_upstream(enum mode mode)
{
    sim_reset();
    for (unsigned r = 0; r < 4; r++)
        sim_start(r, &default_settings);
    sim_set_route(0, S, 0, 0, 10);
    sim_set_route(1, S, 0, 1, 5);
    sim_set_route(2, S, 1, 0, 20);
    sim_set_route(3, S, 1, 1, 20);
    sim_join_lan(0, 0, mode), sim_join_lan(1, 0, mode);
    for (unsigned r = 0; r < 4; r++)
        sim_join_lan(r, 1, mode);
    sim_join_lan(2, 2, mode), sim_join_lan(3, 3, mode);
    sim_run(10000);
}

#endif
