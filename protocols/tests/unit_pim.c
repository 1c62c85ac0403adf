/* PIM's state machines, source-specific mode: routers in one process, with a clock of their own (pim_sim.h). Ends with "N passed, N failed". */
#include "pim_routers.h"

/* ---- hello ---- */

static void neighbours_come_and_go(void)
{
    two_on_a_lan(MODE_SPARSE);
    CHECK(neighbour_find(link_of(0, 0), sim_address(1, 0)) != NULL);
    CHECK(neighbour_find(link_of(1, 0), sim_address(0, 0)) != NULL);
    CHECK(!link_many(link_of(0, 0)));
    sim_run(600000);
    CHECK(link_of(0, 0)->neighbours != NULL); /* kept by its hellos */
    sim_kill(1);
    sim_run(70000);
    CHECK(link_of(0, 0)->neighbours != NULL);
    sim_run(40000);
    CHECK(link_of(0, 0)->neighbours == NULL); /* 105 s after the last one */

    two_on_a_lan(MODE_SPARSE);
    pim_end_all(&sim_routers[1].pim); /* in order: holdtime 0 */
    sim_routers[1].runs = false;
    sim_run(10);
    CHECK(link_of(0, 0)->neighbours == NULL);
}

static void the_designated_router(void)
{
    struct settings high = default_settings;
    high.priority = 2;
    two_on_a_lan(MODE_SPARSE);
    CHECK(link_of(0, 0)->designated == sim_address(1, 0) && link_of(1, 0)->designated == sim_address(1, 0));
    sim_reset();
    sim_start(0, &high);
    sim_start(1, &default_settings);
    sim_join_lan(0, 0, MODE_SPARSE);
    sim_join_lan(1, 0, MODE_SPARSE);
    sim_run(10000);
    CHECK(link_of(0, 0)->designated == sim_address(0, 0) && link_of(1, 0)->designated == sim_address(0, 0));
    /* One that tells no priority makes addresses count. */
    struct pim_hello plain = {.has_holdtime = true, .holdtime = 100};
    hello_receive(link_of(0, 0), sim_address(3, 0), &plain);
    CHECK(link_of(0, 0)->designated == sim_address(3, 0));
    plain.holdtime = 0;
    hello_receive(link_of(0, 0), sim_address(3, 0), &plain);
    CHECK(link_of(0, 0)->designated == sim_address(0, 0));
}

static void lan_delays_are_agreed_on(void)
{
    struct pim_hello other = {.has_holdtime = true, .holdtime = 100, .has_lan_delay = true, .propagation_ms = 700,
                              .override_ms = 4000};
    two_on_a_lan(MODE_SPARSE);
    CHECK(link_wait(link_of(0, 0)) == 3000);
    hello_receive(link_of(0, 0), sim_address(3, 0), &other);
    CHECK(link_wait(link_of(0, 0)) == 4700 && link_override(link_of(0, 0)) == 4000);
    other.has_lan_delay = false; /* then the defaults count */
    hello_receive(link_of(0, 0), sim_address(4, 0), &other);
    CHECK(link_wait(link_of(0, 0)) == 3000);
    CHECK(link_suppresses(link_of(0, 0)));
}

static void other_addresses_of_a_router(void)
{
    uint32_t more[20];
    two_on_a_lan(MODE_SPARSE);
    for (uint32_t n = 0; n < 20; n++)
        more[n] = htonl(0x0a580001u + n);
    pim_link_secondary(link_of(0, 0), more, 3);
    sim_run(5);
    CHECK(neighbour_find(link_of(1, 0), more[2]) == link_of(1, 0)->neighbours && neighbour_find(link_of(1, 0), more[3]) == NULL);
    CHECK(link_of(1, 0)->neighbours != NULL && link_of(1, 0)->neighbours->address == sim_address(0, 0));
    pim_link_secondary(link_of(0, 0), more, 20);
    sim_run(5);
    CHECK(link_of(0, 0)->secondary_count == PIM_MAX_SECONDARY && link_of(1, 0)->neighbours->hello.secondary_count == PIM_MAX_SECONDARY);
    CHECK(neighbour_find(link_of(1, 0), more[15]) != NULL && neighbour_find(link_of(1, 0), more[16]) == NULL);
}

/* RFC 7761 section 4.3.1: how long a hello holds, and who is greeted. */
static void what_hellos_do(void)
{
    struct pim_hello hello = {.has_generation = true, .generation = 5};
    struct link *l;
    two_on_a_lan(MODE_SPARSE);
    l = link_of(0, 0);
    CHECK(!l->triggered_hello.set && l->greeted);
    hello_receive(l, sim_address(4, 0), &hello);
    CHECK(neighbour_find(l, sim_address(4, 0)) != NULL && timer_left(&l->neighbours->liveness) == 105000); /* it does not say how long */
    CHECK(l->triggered_hello.set && timer_left(&l->triggered_hello) < 5000 && !l->greeted);
    sim_run(5000);
    CHECK(!l->triggered_hello.set && l->greeted);
    hello.has_holdtime = true, hello.holdtime = 7;
    hello_receive(l, sim_address(4, 0), &hello); /* nothing new */
    CHECK(timer_left(&l->neighbours->liveness) == 7000 && !l->triggered_hello.set);
    hello.holdtime = PIM_FOREVER;
    hello.generation = 6; /* it has restarted */
    hello_receive(l, sim_address(4, 0), &hello);
    CHECK(!l->neighbours->liveness.set && l->triggered_hello.set && !l->greeted);
    sim_run(5000);
    hello.has_generation = false;
    hello_receive(l, sim_address(4, 0), &hello);
    CHECK(l->triggered_hello.set);
    hello.holdtime = 0;
    hello_receive(l, sim_address(4, 0), &hello);
    CHECK(neighbour_find(l, sim_address(4, 0)) == NULL);
    hello_receive(l, sim_address(4, 0), &hello); /* a goodbye of nobody */
    CHECK(neighbour_find(l, sim_address(4, 0)) == NULL);
}

/* ---- source-specific mode ---- */

static void a_join_goes_all_the_way_and_a_prune_too(void)
{
    chain(MODE_SPARSE, &default_settings);
    CHECK(copies(0, 1) == 0 && copies(0, 3) == 0);
    pim_local(link_of(2, 3), S, G, true);
    sim_run(10);
    CHECK(up(2) == UP_JOINED && up(1) == UP_JOINED && up(0) == UP_JOINED);
    CHECK(down(1, 2) == JOINED && down(0, 1) == JOINED);
    CHECK(copies(0, 1) == 1 && copies(0, 2) == 1 && copies(0, 3) == 1);
    sim_run(1000000); /* kept by joins each minute */
    CHECK(copies(0, 3) == 1);
    pim_local(link_of(2, 3), S, G, false);
    sim_run(10); /* one neighbour on each link: pruned at once */
    CHECK(copies(0, 1) == 0 && copies(0, 2) == 0 && copies(0, 3) == 0);
    CHECK(sim_routers[1].pim.entry_count == 0 && sim_routers[2].pim.entry_count == 0);
}

static void a_join_ends_with_its_holdtime(void)
{
    chain(MODE_SPARSE, &default_settings);
    pim_local(link_of(2, 3), S, G, true);
    sim_run(10);
    CHECK(copies(0, 2) == 1);
    sim_kill(2);
    sim_run(200000);
    CHECK(down(1, 2) == JOINED);
    sim_run(20000);
    CHECK(down(1, 2) == NO_INFO && up(1) == NOT_JOINED && copies(0, 1) == 0);
}

static void a_restarted_neighbour_gets_the_join_again(void)
{
    chain(MODE_SPARSE, &default_settings);
    pim_local(link_of(2, 3), S, G, true);
    sim_run(20000);
    sim_kill(1);
    sim_start(1, &default_settings); /* at once: nobody has missed it but for its generation id */
    sim_set_route(1, S, 1, 0, 1);
    sim_join_lan(1, 1, MODE_SPARSE);
    sim_join_lan(1, 2, MODE_SPARSE);
    sim_run(8000); /* a hello within 5 s, a join within 2.5 s */
    CHECK(down(1, 2) == JOINED && copies(0, 3) == 1);
}

static void a_prune_is_overridden(void)
{
    siblings(MODE_SPARSE);
    pim_local(link_of(1, 2), S, G, true);
    pim_local(link_of(2, 3), S, G, true);
    sim_run(100);
    CHECK(copies(0, 1) == 1);
    pim_local(link_of(1, 2), S, G, false);
    sim_run(2);
    CHECK(down(0, 1) == PRUNE_PENDING && copies(0, 1) == 1);
    sim_run(2600);
    CHECK(down(0, 1) == JOINED); /* router 2 has joined anew */
    sim_run(10000);
    CHECK(copies(0, 1) == 1 && copies(0, 3) == 1);
    pim_local(link_of(2, 3), S, G, false);
    sim_run(2900);
    CHECK(copies(0, 1) == 1);
    unsigned before = sim_sent[1][PIM_JOIN_PRUNE];
    sim_run(300); /* 3 s without a join */
    CHECK(copies(0, 1) == 0);
    CHECK(sim_sent[1][PIM_JOIN_PRUNE] == before + 1); /* the echo */
}

static void joins_are_suppressed(void)
{
    siblings(MODE_SPARSE);
    pim_local(link_of(1, 2), S, G, true);
    pim_local(link_of(2, 3), S, G, true);
    sim_run(100);
    unsigned before = sim_sent[1][PIM_JOIN_PRUNE];
    sim_run(600000);
    CHECK(sim_sent[1][PIM_JOIN_PRUNE] - before <= 12 && sim_sent[1][PIM_JOIN_PRUNE] - before >= 9); /* not twice as many */
    CHECK(down(0, 1) == JOINED);
}

static void a_route_moves(void)
{
    /* Routers 0 and 1 both reach the source; router 2 is below both, on LANs 1 and 2. */
    sim_reset();
    for (unsigned r = 0; r < 3; r++)
        sim_start(r, &default_settings);
    sim_set_route(0, S, 0, 0, 0);
    sim_set_route(1, S, 0, 1, 0);
    sim_set_route(2, S, 1, 0, 1);
    sim_join_lan(0, 0, MODE_SPARSE), sim_join_lan(1, 0, MODE_SPARSE);
    sim_join_lan(0, 1, MODE_SPARSE), sim_join_lan(1, 2, MODE_SPARSE);
    sim_join_lan(2, 1, MODE_SPARSE), sim_join_lan(2, 2, MODE_SPARSE), sim_join_lan(2, 3, MODE_SPARSE);
    sim_run(10000);
    pim_local(link_of(2, 3), S, G, true);
    sim_run(10);
    CHECK(copies(0, 1) == 1 && copies(0, 2) == 0 && copies(0, 3) == 1);
    sim_set_route(2, S, 2, 1, 1);
    sim_run(10);
    CHECK(down(0, 1) == NO_INFO && down(1, 2) == JOINED);
    CHECK(copies(0, 1) == 0 && copies(0, 2) == 1 && copies(0, 3) == 1);
    sim_kill(1); /* the neighbour upstream dies: nothing to join any more, until there is another route */
    sim_run(120000);
    CHECK(up(2) == UP_JOINED && copies(0, 3) == 0);
    sim_set_route(2, S, 1, 0, 1);
    sim_run(10);
    CHECK(copies(0, 3) == 1);
}

static void an_assert_leaves_one_forwarder(void)
{
    two_upstream(MODE_SPARSE);
    pim_local(link_of(2, 2), S, G, true);
    pim_local(link_of(3, 3), S, G, true);
    sim_run(10);
    CHECK(forwards(0, 1) && forwards(1, 1));
    copies(0, 1); /* both send: the assert begins */
    CHECK(asserts(1, 1) == WINNER && asserts(0, 1) == LOSER); /* the metric of 1 is better */
    CHECK(asserts(2, 1) == LOSER && asserts(3, 1) == LOSER);
    sim_run(3000);
    CHECK(copies(0, 1) == 1 && copies(0, 2) == 1 && copies(0, 3) == 1);
    CHECK(entry_upstream(entry_find(&sim_routers[2].pim, S, G)) == sim_address(1, 1)); /* joins go to the winner */
    sim_run(400000); /* kept by the winner's repeated asserts */
    CHECK(asserts(0, 1) != WINNER && copies(0, 1) == 1);
    sim_kill(1); /* the winner dies: within its holdtime the other one takes over */
    sim_run(110000);
    CHECK(copies(0, 1) == 1 && copies(0, 2) == 1);
}

/* Both forward to LAN 1, and the assert is over: router 1 has won. */
static void asserted(void)
{
    two_upstream(MODE_SPARSE);
    pim_local(link_of(2, 2), S, G, true);
    pim_local(link_of(3, 3), S, G, true);
    sim_run(10);
    copies(0, 1);
    CHECK(asserts(1, 1) == WINNER && asserts(0, 1) == LOSER);
}

static void a_preference_comes_before_a_metric(void)
{
    two_upstream(MODE_SPARSE); /* the metric of 1 is better */
    sim_routers[0].routes[0].route.preference = 10;
    sim_routers[1].routes[0].route.preference = 20;
    pim_routes_changed(&sim_routers[0].pim);
    pim_routes_changed(&sim_routers[1].pim);
    pim_local(link_of(2, 2), S, G, true);
    pim_local(link_of(3, 3), S, G, true);
    sim_run(10);
    copies(0, 1);
    CHECK(asserts(0, 1) == WINNER && asserts(1, 1) == LOSER);
}

/* The winner repeats its assert before others forget it. */
static void an_assert_is_kept(void)
{
    unsigned sent;
    bool kept = true;
    asserted();
    sent = sim_sent[1][PIM_ASSERT];
    sim_run(default_settings.assert_time - default_settings.assert_override + 100);
    CHECK(sim_sent[1][PIM_ASSERT] == sent + 1);
    for (unsigned n = 0; n < 4000; n++) {
        sim_run(100);
        kept &= asserts(2, 1) == LOSER && asserts(3, 1) == LOSER;
    }
    CHECK(kept);
}

static void a_loser_that_gets_a_better_route_asserts_anew(void)
{
    asserted();
    sim_set_route(0, S, 0, 0, 1);
    sim_run(5);
    CHECK(asserts(0, 1) == NO_ASSERT && forwards(0, 1));
    copies(0, 1);
    CHECK(asserts(0, 1) == WINNER && asserts(1, 1) == LOSER);
}

/* An assert matters to a router only where it forwards, would, or has its own neighbour upstream. */
static void who_is_not_concerned_forgets_an_assert(void)
{
    struct pim_assert heard = {G, S, false, 0, 1};
    uint8_t bytes[PIM_MESSAGE_SIZE];
    asserted();
    sim_run(250000); /* joins go to the winner, and what the loser was joined for has expired */
    CHECK(down(0, 1) == NO_INFO && asserts(0, 1) == NO_ASSERT);
    size_t size = pim_build_assert(bytes, &heard);
    CHECK(pim_receive(link_of(0, 1), sim_address(1, 1), htonl(0xe000000d), bytes, size) == NULL);
    CHECK(asserts(0, 1) == NO_ASSERT);
}

/* Another router's join serves for ours, no longer than it holds itself. */
static void a_join_is_put_off_while_another_one_holds(void)
{
    struct entry *e;
    chain(MODE_SPARSE, &default_settings);
    pim_local(link_of(2, 3), S, G, true);
    sim_run(10);
    e = entry_find(&sim_routers[2].pim, S, G);
    e->up_link->neighbours->hello.tracking = false;
    timer_set(&e->join, 2000);
    sparse_overheard(e, false, 5);
    CHECK(timer_left(&e->join) == 5000);
}

static void neighbours_of_a_link_are_limited(void)
{
    struct pim_hello other = {.has_holdtime = true, .holdtime = 100};
    unsigned count = 0;
    chain(MODE_SPARSE, &default_settings);
    for (uint32_t n = 0; n < 300; n++)
        hello_receive(link_of(2, 3), htonl(0x0a000310u + n), &other);
    for (const struct neighbour *n = link_of(2, 3)->neighbours; n != NULL; n = n->next)
        count++;
    CHECK(count == 256);
}

/* A join that is about to override a prune is left to whoever was quicker. */
static void another_router_s_join_is_enough(void)
{
    struct entry *e;
    two_upstream(MODE_DENSE);
    pim_local(link_of(2, 2), S, G, true);
    copies(0, 1);
    sim_run(5000);
    e = entry_find(&sim_routers[2].pim, S, G);
    CHECK(e != NULL && !e->join.set);
    dense_overheard(e, true, 210);
    CHECK(e->join.set);
    dense_overheard(e, false, 210);
    CHECK(!e->join.set);
    dense_refreshed(e, true); /* the neighbour upstream has pruned the link that we want */
    CHECK(e->join.set);
}

/* The router upstream forwards again by the time that the one below counts from its own prune. */
static void a_prune_holds_from_when_it_was_sent(void)
{
    struct oif *o;
    unsigned wait;
    two_upstream(MODE_DENSE);
    copies(0, 1);
    sim_run(10);
    o = oif_find(entry_find(&sim_routers[1].pim, S, G), link_of(1, 1));
    wait = link_wait(o->link);
    o->down = NO_INFO, o->hold = 0;
    timer_clear(&o->expiry), timer_clear(&o->pending);
    dense_downstream(o, true, 60);
    CHECK(o->down == PRUNE_PENDING && timer_left(&o->pending) == wait);
    sim_run(wait);
    CHECK(o->down == PRUNED && timer_left(&o->expiry) <= 60000 - wait);
}

static void a_neighbour_on_the_same_link_takes_over(void)
{
    two_upstream(MODE_SPARSE);
    pim_local(link_of(2, 2), S, G, true);
    sim_run(10);
    CHECK(down(0, 1) == JOINED && down(1, 1) == NO_INFO);
    sim_set_route(2, S, 1, 1, 20);
    sim_run(10);
    CHECK(down(0, 1) == PRUNE_PENDING && down(1, 1) == JOINED);
    sim_run(4000);
    CHECK(down(0, 1) == NO_INFO && copies(0, 1) == 1);
}

static void addresses_decide_between_equal_routes(void)
{
    two_upstream(MODE_SPARSE);
    sim_set_route(0, S, 0, 0, 5);
    pim_local(link_of(2, 2), S, G, true);
    pim_local(link_of(3, 3), S, G, true);
    sim_run(10);
    copies(0, 1);
    CHECK(asserts(0, 1) == LOSER && asserts(1, 1) == WINNER); /* the higher address */
}

static void a_loser_that_is_joined_forwards_again(void)
{
    struct pim_builder b;
    two_upstream(MODE_SPARSE);
    pim_local(link_of(2, 2), S, G, true);
    pim_local(link_of(3, 3), S, G, true);
    sim_run(10);
    copies(0, 1);
    CHECK(asserts(0, 1) == LOSER && !forwards(0, 1));
    pim_begin(&b, PIM_JOIN_PRUNE, sim_address(0, 1), 210, true);
    pim_add(&b, G, S, false);
    size_t size = pim_end(&b);
    CHECK(pim_receive(link_of(0, 1), sim_address(2, 1), htonl(0xe000000d), b.bytes, size) == NULL);
    CHECK(asserts(0, 1) == NO_ASSERT && forwards(0, 1));
    copies(0, 1); /* and the assert decides again */
    CHECK(asserts(0, 1) == LOSER);
}

static void a_winner_whose_way_in_moves_cancels(void)
{
    two_upstream(MODE_SPARSE);
    pim_local(link_of(2, 2), S, G, true);
    pim_local(link_of(3, 3), S, G, true);
    sim_run(10);
    copies(0, 1);
    CHECK(asserts(1, 1) == WINNER);
    sim_set_route(1, S, 1, 0, 30);
    sim_run(5);
    CHECK(asserts(1, 1) != WINNER && asserts(0, 1) == NO_ASSERT && asserts(2, 1) == NO_ASSERT);
    sim_run(3000);
    CHECK(copies(0, 1) == 1 && copies(0, 2) == 1 && copies(0, 3) == 1);
}

static void a_winner_that_stops_says_so(void)
{
    two_upstream(MODE_SPARSE);
    pim_local(link_of(2, 2), S, G, true);
    pim_local(link_of(3, 3), S, G, true);
    sim_run(10);
    copies(0, 1);
    CHECK(asserts(1, 1) == WINNER);
    pim_end_all(&sim_routers[1].pim);
    sim_routers[1].runs = false;
    sim_run(3000);
    CHECK(copies(0, 1) == 1 && copies(0, 2) == 1);
}

static void members_are_served_by_one_router(void)
{
    /* Routers 0 and 1 on LAN 1 with a member: the designated one, 1, serves it; when it dies the other one does. */
    two_upstream(MODE_SPARSE);
    sim_kill(2), sim_kill(3);
    sim_run(120000);
    pim_local(link_of(0, 1), S, G, true);
    pim_local(link_of(1, 1), S, G, true);
    sim_run(10);
    CHECK(!forwards(0, 1) && forwards(1, 1) && copies(0, 1) == 1);
    sim_kill(1);
    sim_run(110000);
    CHECK(forwards(0, 1) && copies(0, 1) == 1);
}

static void a_priority_that_changes_moves_members(void)
{
    struct pim_hello other = {.has_holdtime = true, .holdtime = 100, .has_priority = true, .priority = 1};
    chain(MODE_SPARSE, &default_settings);
    pim_local(link_of(2, 3), S, G, true);
    hello_receive(link_of(2, 3), sim_address(0, 3), &other); /* a lower address: router 2 stays designated */
    CHECK(forwards(2, 3));
    other.priority = 9;
    hello_receive(link_of(2, 3), sim_address(0, 3), &other);
    CHECK(!forwards(2, 3) && up(2) == NOT_JOINED);
}

static void a_neighbour_is_known_by_its_other_addresses(void)
{
    struct pim_hello hello;
    chain(MODE_SPARSE, &default_settings);
    pim_local(link_of(2, 3), S, G, true);
    sim_routers[2].routes[0].route.next_hop = htonl(0x0a4d0001); /* an address of router 1 that it has not told yet */
    pim_routes_changed(&sim_routers[2].pim);
    CHECK(entry_upstream(entry_find(&sim_routers[2].pim, S, G)) == 0);
    hello = neighbour_find(link_of(2, 2), sim_address(1, 2))->hello;
    hello.secondary[hello.secondary_count++] = htonl(0x0a4d0001);
    hello_receive(link_of(2, 2), sim_address(1, 2), &hello);
    CHECK(entry_find(&sim_routers[2].pim, S, G)->up_neighbour == sim_address(1, 2));
}

static void without_a_route_nothing_is_joined_or_asserted(void)
{
    chain(MODE_SPARSE, &default_settings);
    pim_local(link_of(2, 3), S, G, true);
    sim_routers[2].route_count = 0;
    pim_routes_changed(&sim_routers[2].pim);
    CHECK(up(2) == NOT_JOINED && !assert_could(entry_find(&sim_routers[2].pim, S, G), link_of(2, 3)));
    pim_local(link_of(2, 3), S, G, false);
    CHECK(sim_routers[2].pim.entry_count == 0);
    chain(MODE_DENSE, &default_settings);
    sim_routers[2].route_count = 0;
    pim_wrong_link(link_of(2, 2), S, G);
    CHECK(asserts(2, 2) == NO_ASSERT);
    /* A link that goes takes its joins along, and nothing else. */
    chain(MODE_SPARSE, &default_settings);
    pim_local(link_of(2, 3), S, G, true);
    sim_run(20);
    pim_link_remove(link_of(2, 2));
    CHECK(up(2) == NOT_JOINED);
    sim_join_lan(2, 2, MODE_SPARSE);
    sim_run(6000);
    CHECK(up(2) == UP_JOINED && copies(0, 3) == 1);
}

static void members_for_any_source_count_outside_of_232(void)
{
    uint32_t other = htonl(0xef010101);
    chain(MODE_SPARSE, &default_settings);
    pim_local(link_of(0, 1), 0, G, true);
    pim_local(link_of(0, 1), 0, other, true);
    sim_run(10000);
    CHECK(copies(0, 1) == 0);
    CHECK(!pim_wanted(link_of(0, 1), S, G));
    /* Router 1 is designated on LAN 1 and router 0 is not. */
    CHECK(!pim_wanted(link_of(0, 1), S, other) && link_of(0, 1)->designated == sim_address(1, 1));
    pim_local(link_of(2, 3), 0, other, true);
    pim_local(link_of(2, 3), 0, G, true);
    CHECK(pim_wanted(link_of(2, 3), S, other) && up(2) == NOT_JOINED);
    CHECK(!pim_wanted(link_of(2, 3), S, G));
    CHECK(oif_find(entry_find(&sim_routers[2].pim, 0, other), link_of(2, 3))->on);
    CHECK(!oif_find(entry_find(&sim_routers[2].pim, 0, G), link_of(2, 3))->on);
}

static void memberships_are_those_that_were_asked_for(void)
{
    uint32_t other = htonl(0xef010101);
    sim_router *r = &sim_routers[2];
    chain(MODE_SPARSE, &default_settings);
    pim_local(link_of(2, 3), 0, other, true);
    pim_local(link_of(2, 3), S, other, true);
    CHECK(r->key_count == 2);
    pim_local(link_of(2, 3), S, other, false); /* (*,G) still wants it, but (S,G) is not held any more */
    CHECK(r->key_count == 1 && r->keys[0].source == 0 && r->pim.entry_count == 1);
    pim_local(link_of(2, 3), 0, other, false);
    CHECK(r->key_count == 0 && r->pim.entry_count == 0);
    /* The same in dense mode, where the entry lives on. */
    chain(MODE_DENSE, &default_settings);
    copies(0, 1);
    pim_local(link_of(2, 3), 0, G, true);
    pim_local(link_of(2, 3), S, G, true);
    CHECK(r->key_count == 2);
    pim_local(link_of(2, 3), S, G, false);
    CHECK(r->key_count == 1 && forwards(2, 3));
    pim_local(link_of(2, 3), 0, G, false);
    CHECK(r->key_count == 0 && !forwards(2, 3));
}

static void sources_that_all_members_exclude(void)
{
    chain(MODE_DENSE, &default_settings);
    copies(0, 1);
    pim_local(link_of(2, 3), 0, G, true);
    sim_run(20);
    CHECK(copies(0, 3) == 1);
    sim_routers[2].blocked = S;
    pim_blocked(link_of(2, 3), S, G);
    sim_run(20);
    CHECK(up(2) == UP_PRUNED && copies(0, 1) == 0);
    sim_routers[2].blocked = 0;
    pim_blocked(link_of(2, 3), S, G);
    sim_run(20);
    CHECK(copies(0, 3) == 1);
}

static void other_protocols_are_joined_for(void)
{
    chain(MODE_SPARSE, &default_settings);
    pim_external(&sim_routers[2].pim, S, G, true);
    sim_run(10);
    CHECK(up(2) == UP_JOINED && copies(0, 2) == 1);
    pim_external(&sim_routers[2].pim, S, G, false);
    sim_run(10);
    CHECK(up(2) == NOT_JOINED && copies(0, 2) == 0 && sim_routers[2].pim.entry_count == 0);
}

static void many_joins_share_a_message(void)
{
    chain(MODE_SPARSE, &default_settings);
    unsigned before = sim_sent[2][PIM_JOIN_PRUNE];
    for (unsigned n = 0; n < 1000; n++)
        pim_local(link_of(2, 3), S, htonl(0xe8020000 + n), true);
    sim_run(10);
    CHECK(sim_routers[0].pim.entry_count == 1000);
    CHECK(sim_sent[2][PIM_JOIN_PRUNE] - before <= 30);
    sim_run(300000);
    CHECK(sim_routers[0].pim.entry_count == 1000);
    CHECK(sim_sent[2][PIM_JOIN_PRUNE] - before <= 6 * 30);
}

static unsigned said_joins, said_prunes;
static bool count_records(unsigned lan, uint32_t from, const uint8_t *bytes, size_t size)
{
    struct pim_message m;
    struct pim_record r;
    (void)from;
    if (lan == 2 && pim_parse(bytes, size, &m) == NULL && m.type == PIM_JOIN_PRUNE)
        while (pim_next_record(&m.u.join_prune, &r))
            *(r.prune ? &said_prunes : &said_joins) += 1;
    return false;
}

/* What is said again about the same, before it has gone out, takes the place of what was said before. */
static void only_the_last_word_is_sent(void)
{
    chain(MODE_SPARSE, &default_settings);
    said_joins = said_prunes = 0;
    sim_drops = count_records;
    for (unsigned n = 0; n < 1100; n++) { /* the outbox is full many times */
        pim_local(link_of(2, 3), S, htonl(0xe8020000 + n), true);
        if (n % 11 == 0)
            pim_local(link_of(2, 3), S, htonl(0xe8020000 + n), false);
    }
    sim_run(10);
    CHECK(said_joins == 1000 && said_prunes == 100);
    CHECK(sim_routers[0].pim.entry_count == 1000);
}

static void entries_are_bounded(void)
{
    struct settings few = default_settings;
    few.max_entries = 10;
    log_level = LEVEL_OFF;
    chain(MODE_SPARSE, &few);
    for (unsigned n = 0; n < 1000; n++)
        pim_local(link_of(2, 3), S, htonl(0xe8020000 + n), true);
    sim_run(10);
    CHECK(sim_routers[2].pim.entry_count == 10 && sim_routers[0].pim.entry_count == 10);
}

static void a_stranger_is_not_heard(void)
{
    struct pim_builder b;
    chain(MODE_SPARSE, &default_settings);
    pim_begin(&b, PIM_JOIN_PRUNE, sim_address(0, 1), 210, true);
    pim_add(&b, G, S, false);
    size_t size = pim_end(&b);
    CHECK(pim_receive(link_of(0, 1), sim_address(5, 1), htonl(0xe000000d), b.bytes, size) != NULL);
    CHECK(down(0, 1) == NO_INFO);
    CHECK(pim_receive(link_of(0, 1), sim_address(1, 1), sim_address(0, 1), b.bytes, size) != NULL); /* sent to us alone */
    CHECK(down(0, 1) == NO_INFO);
    CHECK(pim_receive(link_of(0, 1), sim_address(1, 1), htonl(0xe000000d), b.bytes, size) == NULL);
    CHECK(down(0, 1) == JOINED);
}

int main(void)
{
    log_level = LEVEL_OFF;
    RUN(neighbours_come_and_go);
    RUN(the_designated_router);
    RUN(lan_delays_are_agreed_on);
    RUN(other_addresses_of_a_router);
    RUN(what_hellos_do);
    RUN(a_join_goes_all_the_way_and_a_prune_too);
    RUN(a_join_ends_with_its_holdtime);
    RUN(a_restarted_neighbour_gets_the_join_again);
    RUN(a_prune_is_overridden);
    RUN(joins_are_suppressed);
    RUN(a_route_moves);
    RUN(an_assert_leaves_one_forwarder);
    RUN(a_preference_comes_before_a_metric);
    RUN(an_assert_is_kept);
    RUN(a_loser_that_gets_a_better_route_asserts_anew);
    RUN(who_is_not_concerned_forgets_an_assert);
    RUN(another_router_s_join_is_enough);
    RUN(a_join_is_put_off_while_another_one_holds);
    RUN(neighbours_of_a_link_are_limited);
    RUN(a_prune_holds_from_when_it_was_sent);
    RUN(a_neighbour_on_the_same_link_takes_over);
    RUN(addresses_decide_between_equal_routes);
    RUN(a_loser_that_is_joined_forwards_again);
    RUN(a_winner_whose_way_in_moves_cancels);
    RUN(a_winner_that_stops_says_so);
    RUN(members_are_served_by_one_router);
    RUN(a_priority_that_changes_moves_members);
    RUN(a_neighbour_is_known_by_its_other_addresses);
    RUN(without_a_route_nothing_is_joined_or_asserted);
    RUN(members_for_any_source_count_outside_of_232);
    RUN(memberships_are_those_that_were_asked_for);
    RUN(sources_that_all_members_exclude);
    RUN(other_protocols_are_joined_for);
    RUN(many_joins_share_a_message);
    RUN(only_the_last_word_is_sent);
    RUN(entries_are_bounded);
    RUN(a_stranger_is_not_heard);
    sim_reset();
    return unit_end();
}
