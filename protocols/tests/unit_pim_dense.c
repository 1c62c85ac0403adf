/* PIM's state machines, dense mode. Ends with "N passed, N failed". */
#include "pim_routers.h"

static void flood_and_prune_and_graft(void)
{
    chain(MODE_DENSE, &default_settings);
    CHECK(copies(0, 1) == 1 && sim_data[2] == 1 && sim_data[3] == 0); /* everywhere but to a leaf without members */
    sim_run(10);
    CHECK(up(2) == UP_PRUNED && up(1) == UP_PRUNED && up(0) == UP_PRUNED && down(0, 1) == PRUNED);
    CHECK(copies(0, 1) == 0);
    pim_local(link_of(2, 3), 0, G, true);
    CHECK(up(2) == ACK_PENDING);
    sim_run(20);
    CHECK(up(2) == FORWARDING && up(1) == FORWARDING && down(0, 1) == NO_INFO);
    CHECK(copies(0, 3) == 1);
    pim_local(link_of(2, 3), 0, G, false);
    sim_run(20);
    CHECK(up(2) == UP_PRUNED && copies(0, 1) == 0);
    pim_local(link_of(2, 3), S, G, true); /* one source is as good */
    sim_run(20);
    CHECK(copies(0, 3) == 1);
}

static bool drop_grafts(unsigned lan, uint32_t from, const uint8_t *bytes, size_t size)
{
    (void)lan, (void)from, (void)size;
    return (bytes[0] & 15) == PIM_GRAFT;
}

static void a_graft_that_is_lost_is_sent_again(void)
{
    chain(MODE_DENSE, &default_settings);
    copies(0, 1);
    sim_run(20);
    sim_drops = drop_grafts;
    pim_local(link_of(2, 3), 0, G, true);
    sim_run(1000);
    CHECK(up(2) == ACK_PENDING && copies(0, 3) == 0);
    sim_drops = NULL;
    sim_run(2500);
    CHECK(up(2) == FORWARDING && copies(0, 3) == 1);
}

/* A member that comes and goes before anything has been sent: the neighbour hears the prune last. */
static void a_graft_and_a_prune_at_once(void)
{
    chain(MODE_DENSE, &default_settings);
    copies(0, 1);
    sim_run(20);
    CHECK(up(2) == UP_PRUNED && down(1, 2) == PRUNED);
    pim_local(link_of(2, 3), 0, G, true);
    pim_local(link_of(2, 3), 0, G, false);
    sim_run(20);
    CHECK(up(2) == UP_PRUNED && down(1, 2) == PRUNED && copies(0, 1) == 0);
    pim_local(link_of(2, 3), 0, G, true);
    sim_run(20);
    pim_local(link_of(2, 3), 0, G, false);
    pim_local(link_of(2, 3), 0, G, true);
    sim_run(20);
    CHECK(up(2) == FORWARDING && copies(0, 3) == 1);
}

static void prunes_end_and_are_made_again(void)
{
    struct settings quiet = default_settings;
    quiet.refresh_interval = 0;
    chain(MODE_DENSE, &quiet);
    copies(0, 1);
    sim_run(20);
    CHECK(copies(0, 1) == 0);
    sim_run(205000);
    CHECK(copies(0, 1) == 0);
    sim_run(6000); /* the prune's 210 s are over */
    CHECK(copies(0, 1) == 1);
    sim_run(31000); /* it is looked each 30 s whether packets come */
    CHECK(copies(0, 1) == 0);
}

static void state_refresh_keeps_prunes(void)
{
    unsigned flooded;
    chain(MODE_DENSE, &default_settings);
    copies(0, 1);
    sim_run(20);
    flooded = sim_data[1] + sim_data[2];
    for (int n = 0; n < 100; n++) { /* the source goes on for 1000 s */
        sim_packet(0, S, G);
        sim_run(10000);
    }
    CHECK(sim_data[1] + sim_data[2] == flooded);
    CHECK(sim_sent[1][PIM_STATE_REFRESH] >= 15 && sim_sent[1][PIM_STATE_REFRESH] <= 17);
    CHECK(sim_sent[2][PIM_STATE_REFRESH] >= 15 && sim_sent[2][PIM_STATE_REFRESH] <= 17); /* passed on, once each */
    unsigned before = sim_sent[1][PIM_STATE_REFRESH];
    sim_run(300000);
    before = sim_sent[1][PIM_STATE_REFRESH] - before;
    CHECK(before <= 4); /* no longer than the source's lifetime */
}

static void state_refreshes_are_limited_and_put_prunes_off(void)
{
    struct pim_refresh r = {{G, S, false, 1, 0}, sim_address(0, 0), 24, 10, 60, true, false, false};
    uint8_t bytes[PIM_MESSAGE_SIZE];
    struct settings quiet = default_settings;
    quiet.refresh_interval = 0;
    chain(MODE_DENSE, &quiet);
    copies(0, 1);
    sim_run(100000);
    struct entry *e = entry_find(&sim_routers[1].pim, S, G);
    CHECK(up(1) == UP_PRUNED && timer_left(&e->prune_limit) < 111000);
    CHECK(pim_receive(link_of(1, 1), sim_address(0, 1), htonl(0xe000000d), bytes, pim_build_refresh(bytes, &r)) == NULL);
    CHECK(timer_left(&e->prune_limit) == 210000 && sim_sent[2][PIM_STATE_REFRESH] == 1);
    sim_run(20000);
    pim_receive(link_of(1, 1), sim_address(0, 1), htonl(0xe000000d), bytes, pim_build_refresh(bytes, &r));
    CHECK(timer_left(&e->prune_limit) == 190000 && sim_sent[2][PIM_STATE_REFRESH] == 1); /* too soon */
    sim_run(20000);
    pim_receive(link_of(1, 1), sim_address(0, 1), htonl(0xe000000d), bytes, pim_build_refresh(bytes, &r));
    CHECK(sim_sent[2][PIM_STATE_REFRESH] == 2);
    sim_run(60000);
    r.ttl = 1; /* goes no further */
    pim_receive(link_of(1, 1), sim_address(0, 1), htonl(0xe000000d), bytes, pim_build_refresh(bytes, &r));
    CHECK(sim_sent[2][PIM_STATE_REFRESH] == 2);
    sim_run(60000);
    r.prune = false; /* the neighbour upstream has lost our prune */
    timer_clear(&e->prune_limit);
    unsigned before = sim_sent[1][PIM_JOIN_PRUNE];
    pim_receive(link_of(1, 1), sim_address(0, 1), htonl(0xe000000d), bytes, pim_build_refresh(bytes, &r));
    sim_run(10);
    CHECK(sim_sent[1][PIM_JOIN_PRUNE] == before + 1);
}

/* Only the neighbour that the packets come from is heard about prunes, and only what it says is passed on. */
static void a_state_refresh_of_another_router_counts_for_nothing(void)
{
    struct pim_refresh r = {{G, S, false, 1, 0}, sim_address(0, 0), 24, 10, 60, true, false, false};
    struct settings quiet = default_settings;
    struct pim_hello other;
    uint8_t bytes[PIM_MESSAGE_SIZE];
    struct entry *e;
    quiet.refresh_interval = 0;
    chain(MODE_DENSE, &quiet);
    other = link_of(1, 1)->neighbours->hello;
    hello_receive(link_of(1, 1), sim_address(5, 1), &other);
    copies(0, 1);
    sim_run(1000);
    pim_receive(link_of(1, 1), sim_address(0, 1), htonl(0xe000000d), bytes, pim_build_refresh(bytes, &r));
    e = entry_find(&sim_routers[1].pim, S, G);
    CHECK(entry_upstream(e) == sim_address(0, 1) && timer_left(&e->prune_limit) == 210000);
    CHECK(sim_sent[2][PIM_STATE_REFRESH] == 1);
    sim_run(60000);
    r.metric.metric = 50; /* worse, so that it does not win an assert */
    pim_receive(link_of(1, 1), sim_address(5, 1), htonl(0xe000000d), bytes, pim_build_refresh(bytes, &r));
    CHECK(entry_upstream(e) == sim_address(0, 1) && timer_left(&e->prune_limit) == 150000);
    CHECK(sim_sent[2][PIM_STATE_REFRESH] == 1);
    /* Nor what comes in on another link, from a neighbour downstream. */
    pim_receive(link_of(1, 2), sim_address(2, 2), htonl(0xe000000d), bytes, pim_build_refresh(bytes, &r));
    CHECK(timer_left(&e->prune_limit) == 150000 && sim_sent[1][PIM_STATE_REFRESH] == 0 && sim_sent[2][PIM_STATE_REFRESH] == 1);
    r.metric.metric = 0;
    pim_receive(link_of(1, 1), sim_address(0, 1), htonl(0xe000000d), bytes, pim_build_refresh(bytes, &r));
    CHECK(timer_left(&e->prune_limit) == 210000 && sim_sent[2][PIM_STATE_REFRESH] == 2);
}

/* It goes to links in dense mode on which this router forwards, and keeps prunes where all neighbours know it. */
static void a_state_refresh_on_its_way_down(void)
{
    struct pim_refresh r = {{G, S, false, 1, 0}, sim_address(0, 0), 24, 10, 60, true, false, false};
    const struct metric best = {false, 0, 0, sim_address(2, 2)};
    struct settings quiet = default_settings;
    uint8_t bytes[PIM_MESSAGE_SIZE];
    struct oif *o;
    size_t size;
    quiet.refresh_interval = 0;
    chain(MODE_DENSE, &quiet);
    copies(0, 1);
    sim_run(100000);
    o = oif_find(entry_find(&sim_routers[1].pim, S, G), link_of(1, 2));
    CHECK(o->down == PRUNED && timer_left(&o->expiry) < 110000);
    size = pim_build_refresh(bytes, &r);
    pim_receive(link_of(1, 1), sim_address(0, 1), htonl(0xe000000d), bytes, size);
    CHECK(timer_left(&o->expiry) == 210000 && sim_sent[2][PIM_STATE_REFRESH] == 1);
    sim_run(60000);
    link_of(1, 2)->neighbours->hello.has_state_refresh = false;
    pim_receive(link_of(1, 1), sim_address(0, 1), htonl(0xe000000d), bytes, size);
    CHECK(timer_left(&o->expiry) == 150000 && sim_sent[2][PIM_STATE_REFRESH] == 2);
    sim_run(60000);
    assert_receive(o, &best, 180000);
    pim_receive(link_of(1, 1), sim_address(0, 1), htonl(0xe000000d), bytes, size);
    CHECK(o->assert == LOSER && sim_sent[2][PIM_STATE_REFRESH] == 2); /* the winner sends it there */
    sim_run(60000);
    assert_forget(o);
    link_of(1, 2)->mode = MODE_SPARSE;
    pim_receive(link_of(1, 1), sim_address(0, 1), htonl(0xe000000d), bytes, size);
    CHECK(sim_sent[2][PIM_STATE_REFRESH] == 2);
    link_of(1, 2)->mode = MODE_DENSE;
}

static unsigned asked_for_prunes, said_override, refreshes_seen;
static bool look_at_refreshes(unsigned lan, uint32_t from, const uint8_t *bytes, size_t size)
{
    struct pim_message m;
    (void)from;
    if (lan == 1 && pim_parse(bytes, size, &m) == NULL && m.type == PIM_STATE_REFRESH) {
        refreshes_seen++;
        asked_for_prunes += m.u.refresh.prune_now;
        said_override += m.u.refresh.override;
    }
    return false;
}

/* Each third refresh has the prunes of a link said again; where nobody has asserted, the override bit says so. */
static void what_state_refreshes_say(void)
{
    asked_for_prunes = said_override = refreshes_seen = 0;
    chain(MODE_DENSE, &default_settings);
    copies(0, 1);
    sim_drops = look_at_refreshes;
    for (int n = 0; n < 37; n++) {
        sim_packet(0, S, G);
        sim_run(10000);
    }
    CHECK(refreshes_seen == 6 && asked_for_prunes == 2 && said_override == 6);
}

static void a_lan_prune_is_overridden(void)
{
    siblings(MODE_DENSE);
    pim_local(link_of(2, 3), 0, G, true);
    CHECK(copies(0, 1) == 1);
    sim_run(10); /* router 1 has nobody and prunes */
    CHECK(up(1) == UP_PRUNED && up(2) == FORWARDING);
    CHECK(down(0, 1) == PRUNE_PENDING && copies(0, 3) == 1);
    sim_run(2600);
    CHECK(down(0, 1) == NO_INFO);
    sim_run(1000);
    CHECK(copies(0, 1) == 1 && copies(0, 3) == 1);
    pim_local(link_of(2, 3), 0, G, false);
    sim_run(3200);
    CHECK(down(0, 1) == PRUNED && copies(0, 1) == 0);
}

static void a_dense_assert_leaves_one_forwarder(void)
{
    two_upstream(MODE_DENSE);
    pim_local(link_of(2, 2), 0, G, true);
    pim_local(link_of(3, 3), 0, G, true);
    copies(0, 1);
    sim_run(4000);
    CHECK(asserts(1, 1) == WINNER && asserts(0, 1) == LOSER);
    CHECK(asserts(2, 1) == LOSER && entry_upstream(entry_find(&sim_routers[2].pim, S, G)) == sim_address(1, 1));
    CHECK(copies(0, 1) == 1 && copies(0, 2) == 1 && copies(0, 3) == 1);
    pim_local(link_of(2, 2), 0, G, false); /* the prune goes to the winner, and router 3 overrides it */
    sim_run(10000);
    CHECK(copies(0, 1) == 1 && copies(0, 3) == 1);
    sim_kill(1); /* both had it as their neighbour upstream */
    sim_set_route(3, S, 1, 0, 20);
    sim_run(110000);
    copies(0, 1);
    sim_run(4000);
    CHECK(copies(0, 1) == 1 && copies(0, 3) == 1);
}

/* 0 at the source's LAN 0; 0 - LAN 1 - 1, 0 - LAN 2 - 2, 1 - LAN 3 - 3, 2 - LAN 4 - 3; members on LAN 5, behind router 3. */
static void diamond(void)
{
    static const unsigned links[][2] = {{0, 0}, {0, 1}, {0, 2}, {1, 1}, {1, 3}, {2, 2}, {2, 4}, {3, 3}, {3, 4}, {3, 5}};
    sim_reset();
    for (unsigned r = 0; r < 4; r++)
        sim_start(r, &default_settings);
    sim_set_route(0, S, 0, 0, 0);
    sim_set_route(1, S, 1, 0, 10);
    sim_set_route(2, S, 2, 0, 10);
    sim_set_route(3, S, 3, 1, 20);
    for (unsigned n = 0; n < sizeof links / sizeof *links; n++)
        sim_join_lan(links[n][0], links[n][1], MODE_DENSE);
    sim_run(10000);
}

static void a_diamond_and_a_link_that_fails(void)
{
    diamond();
    pim_local(link_of(3, 5), 0, G, true);
    copies(0, 5);
    sim_run(4000);
    /* Router 3 gets it by router 1; on LAN 4 router 2 won, as it is nearer, and router 3 pruned it. */
    CHECK(asserts(2, 4) != LOSER && asserts(3, 4) == LOSER && down(2, 4) == PRUNED);
    CHECK(up(2) == UP_PRUNED && down(0, 2) == PRUNED);
    CHECK(copies(0, 5) == 1 && copies(0, 4) == 0 && copies(0, 2) == 0);
    pim_link_remove(link_of(1, 3));
    pim_link_remove(link_of(3, 3));
    sim_set_route(3, S, 4, 2, 20);
    sim_run(20); /* grafts all the way */
    CHECK(up(3) == FORWARDING && up(2) == FORWARDING && down(0, 2) == NO_INFO);
    CHECK(copies(0, 5) == 1);
    sim_join_lan(1, 3, MODE_DENSE);
    sim_join_lan(3, 3, MODE_DENSE);
    sim_run(6000);
    sim_set_route(3, S, 3, 1, 20);
    sim_run(20);
    CHECK(copies(0, 5) == 1);
    sim_run(4000);
    CHECK(copies(0, 5) == 1 && copies(0, 4) == 0);
}

static void a_restarted_router_is_flooded_anew(void)
{
    chain(MODE_DENSE, &default_settings);
    copies(0, 1);
    sim_run(20);
    CHECK(down(1, 2) == PRUNED);
    sim_kill(2);
    sim_start(2, &default_settings);
    sim_set_route(2, S, 2, 1, 2);
    sim_join_lan(2, 2, MODE_DENSE);
    sim_join_lan(2, 3, MODE_DENSE);
    pim_local(link_of(2, 3), 0, G, true); /* it does not know what it has pruned in its earlier life */
    sim_run(6000);
    CHECK(copies(0, 3) == 1);
}

/* The flow begins before router 1 has heard a hello of router 0, which floods to it. */
static void a_neighbour_that_appears_is_pruned_at_once(void)
{
    struct pim_hello hello, goodbye = {.has_holdtime = true, .holdtime = 0};
    struct link *l;
    unsigned prunes;
    chain(MODE_DENSE, &default_settings);
    l = link_of(1, 1);
    hello = l->neighbours->hello;
    hello_receive(l, sim_address(0, 1), &goodbye);
    CHECK(copies(0, 1) == 1);
    sim_run(100);
    CHECK(up(1) == UP_PRUNED && down(0, 1) == NO_INFO && copies(0, 1) == 1);
    hello_receive(l, sim_address(0, 1), &hello);
    sim_run(10);
    CHECK(down(0, 1) == PRUNED && copies(0, 1) == 0);
    /* One that comes and goes all the time makes a prune a second. */
    prunes = sim_sent[1][PIM_JOIN_PRUNE];
    for (unsigned n = 0; n < 400; n++) {
        hello_receive(l, sim_address(0, 1), &goodbye);
        hello_receive(l, sim_address(0, 1), &hello);
        sim_run(5);
    }
    CHECK(sim_sent[1][PIM_JOIN_PRUNE] - prunes <= 3);
    /* After that it is looked whether packets come. */
    dense_downstream(oif_find(entry_find(&sim_routers[0].pim, S, G), link_of(0, 1)), false, 0);
    CHECK(copies(0, 1) == 1);
    sim_run(1000);
    CHECK(down(0, 1) == PRUNED && copies(0, 1) == 0);
    /* What is wanted is asked for at once. */
    hello_receive(l, sim_address(0, 1), &goodbye);
    pim_local(link_of(2, 3), 0, G, true);
    sim_run(10);
    CHECK(copies(0, 1) == 0);
    hello_receive(l, sim_address(0, 1), &hello);
    sim_run(10);
    CHECK(copies(0, 3) == 1);
}

/* Router 0 has forgotten prunes of more flows than one message holds, and hears of them again before it floods. */
static void a_neighbour_that_restarts_is_pruned_at_once(void)
{
    unsigned pruned = 0;
    chain(MODE_DENSE, &default_settings);
    for (uint32_t n = 0; n < 300; n++)
        pim_new_flow(&sim_routers[2].pim, S, htonl(0xef010000u + n), 16);
    sim_run(10);
    CHECK(sim_routers[1].pim.entry_count == 300);
    sim_kill(1);
    sim_start(1, &default_settings);
    sim_set_route(1, S, 1, 0, 1);
    sim_join_lan(1, 1, MODE_DENSE);
    sim_join_lan(1, 2, MODE_DENSE);
    while (link_of(1, 2)->neighbours == NULL)
        sim_run(1);
    sim_run(2);
    for (uint32_t n = 0; n < 300; n++) {
        struct entry *e = entry_find(&sim_routers[1].pim, S, htonl(0xef010000u + n));
        struct oif *o = e ? oif_find(e, link_of(1, 2)) : NULL;
        pruned += o != NULL && o->down == PRUNED;
    }
    CHECK(pruned == 300);
}

/* Router 2 gets the flow by router 0, and then by router 1, which has it too. */
static void a_route_that_moves_takes_the_prune_along(void)
{
    two_upstream(MODE_DENSE);
    sim_kill(1), sim_kill(3);
    sim_run(120000);
    copies(0, 1);
    sim_run(10);
    CHECK(up(2) == UP_PRUNED && down(0, 1) == PRUNED);
    sim_set_route(2, S, 2, 5, 20); /* a link without a neighbour */
    sim_run(10);
    dense_downstream(oif_find(entry_find(&sim_routers[0].pim, S, G), link_of(0, 1)), false, 0);
    sim_run(1000);
    sim_set_route(2, S, 1, 0, 20);
    sim_run(10);
    CHECK(down(0, 1) == PRUNED && copies(0, 1) == 0);
}

/* The group manager holds what was pruned before this router was started anew. */
static void a_graft_for_a_flow_that_is_not_known(void)
{
    const struct pim_record record = {.source = S, .group = G};
    sim_flow *held;
    chain(MODE_DENSE, &default_settings);
    held = sim_flow_of(&sim_routers[1], S, G, true);
    held->iif = 2;
    dense_graft(link_of(1, 2), sim_address(2, 2), &record, 210);
    CHECK(held->oifs == 1u << 2);
    sim_run(10);
    CHECK(sim_sent[2][PIM_GRAFT_ACK] == 1);
}

static void other_protocols_keep_a_flow(void)
{
    chain(MODE_DENSE, &default_settings);
    sim_routers[2].others = true;
    copies(0, 1);
    sim_run(20);
    CHECK(up(2) == FORWARDING && copies(0, 2) == 1);
    sim_routers[2].others = false;
    CHECK(pim_no_receivers(&sim_routers[2].pim, S, G) == 211); /* the prune's 210 s are over then */
    sim_run(20);
    CHECK(up(2) == UP_PRUNED && copies(0, 1) == 0);
    sim_routers[2].others = true;
    pim_some_receivers(&sim_routers[2].pim, S, G);
    sim_run(20);
    CHECK(up(2) == FORWARDING && copies(0, 2) == 1);
}

/* Router 1 between dense mode on LAN 1 and source-specific mode on LAN 2. */
static void both_modes_on_one_router(void)
{
    sim_reset();
    for (unsigned r = 0; r < 3; r++) {
        sim_start(r, &default_settings);
        sim_set_route(r, S, r, r == 0 ? 0 : r - 1, r);
        sim_join_lan(r, r, r == 2 ? MODE_SPARSE : MODE_DENSE);
        sim_join_lan(r, r + 1, r == 0 ? MODE_DENSE : MODE_SPARSE);
    }
    sim_run(10000);
    copies(0, 1);
    sim_run(20);
    CHECK(copies(0, 1) == 0 && up(1) == UP_PRUNED); /* nobody joined */
    pim_local(link_of(2, 3), S, G, true);
    sim_run(20); /* a join, then a graft */
    CHECK(down(1, 2) == JOINED && up(1) == FORWARDING);
    CHECK(copies(0, 3) == 1);
    pim_local(link_of(2, 3), S, G, false);
    sim_run(20);
    CHECK(copies(0, 1) == 0 && up(1) == UP_PRUNED);

    sim_reset(); /* and the other way round */
    for (unsigned r = 0; r < 3; r++) {
        sim_start(r, &default_settings);
        sim_set_route(r, S, r, r == 0 ? 0 : r - 1, r);
        sim_join_lan(r, r, r == 2 ? MODE_DENSE : MODE_SPARSE);
        sim_join_lan(r, r + 1, r == 0 ? MODE_SPARSE : MODE_DENSE);
    }
    sim_run(10000);
    pim_local(link_of(1, 2), S, G, true); /* a member on the border router's dense link */
    sim_run(20);
    CHECK(up(1) == UP_JOINED && copies(0, 2) == 1);
    pim_local(link_of(1, 2), S, G, false);
    sim_run(20);
    CHECK(up(1) == NOT_JOINED && copies(0, 1) == 0);
}

int main(void)
{
    log_level = LEVEL_OFF;
    RUN(flood_and_prune_and_graft);
    RUN(a_graft_that_is_lost_is_sent_again);
    RUN(a_graft_and_a_prune_at_once);
    RUN(prunes_end_and_are_made_again);
    RUN(state_refresh_keeps_prunes);
    RUN(state_refreshes_are_limited_and_put_prunes_off);
    RUN(a_state_refresh_of_another_router_counts_for_nothing);
    RUN(a_state_refresh_on_its_way_down);
    RUN(what_state_refreshes_say);
    RUN(a_lan_prune_is_overridden);
    RUN(a_dense_assert_leaves_one_forwarder);
    RUN(a_diamond_and_a_link_that_fails);
    RUN(a_restarted_router_is_flooded_anew);
    RUN(a_neighbour_that_appears_is_pruned_at_once);
    RUN(a_neighbour_that_restarts_is_pruned_at_once);
    RUN(a_route_that_moves_takes_the_prune_along);
    RUN(a_graft_for_a_flow_that_is_not_known);
    RUN(other_protocols_keep_a_flow);
    RUN(both_modes_on_one_router);
    sim_reset();
    return unit_end();
}
