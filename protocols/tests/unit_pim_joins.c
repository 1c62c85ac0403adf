/* PIM's tables row by row, and the times and fields that messages and timers get: joins (RFC 7761 sections 4.5.2 and 4.5.5),
 * dense mode's prunes and grafts (RFC 3973 section 4.4), and settings that change. Ends with "N passed, N failed". */
#include "pim_rows.h"

/* ---- joins ---- */

static void joins_are_sent_in_time(void)
{
    struct settings s = default_settings;
    chain(MODE_SPARSE, &s);
    sent[0] = 0;
    sim_run(1234 - sim_now % 1000);
    pim_local(link_of(2, 3), S, G, true);
    e = entry_find(&sim_routers[2].pim, S, G);
    /* In a minute, or up to a second later, on a whole second. */
    CHECK((sim_now + timer_left(&e->join)) % 1000 == 0);
    CHECK(timer_left(&e->join) > 60000 && timer_left(&e->join) <= 61000);
    sim_run(10);
    o = oif_find(entry_find(&sim_routers[1].pim, S, G), link_of(1, 2));
    CHECK(timer_left(&o->expiry) > 209900 && timer_left(&o->expiry) <= 210000); /* three and a half times a minute */
    sim_routers[2].pim.settings.join_period = 9999; /* a short time is kept as it is */
    sparse_join_due(e);
    CHECK(timer_left(&e->join) == 9999);
    sim_routers[2].pim.settings.join_period = 10000;
    sparse_join_due(e);
    CHECK(timer_left(&e->join) > 10000 && timer_left(&e->join) <= 11000);
    /* Nobody to send it to. */
    e->up_neighbour = 0;
    sparse_join_due(e);
    CHECK(!e->join.set);
}

static void an_entry_that_leaves_forgets_whom_it_joined(void)
{
    chain(MODE_SPARSE, &default_settings);
    pim_local(link_of(2, 3), S, G, true);
    e = entry_find(&sim_routers[2].pim, S, G);
    CHECK(e->up_link == link_of(2, 2) && e->up_neighbour == sim_address(1, 2) && e->join.set && e->begun);
    sparse_leave(e);
    CHECK(e->up == NOT_JOINED && e->up_link == NULL && e->up_neighbour == 0 && !e->join.set);
    /* Once is enough. */
    sim_run(10);
    unsigned before = sim_sent[2][PIM_JOIN_PRUNE];
    sparse_leave(e);
    sim_run(10);
    CHECK(sim_sent[2][PIM_JOIN_PRUNE] == before);
}

/* RFC 7761 section 4.5.5: RPF'(S,G) changes by an assert, and otherwise. Router 2 of two_upstream has routers 0 and 1 above it. */
static unsigned said_join[4], said_prune[4]; /* by router 2, to which router */
static bool watch_router_2(unsigned lan, uint32_t from, const uint8_t *bytes, size_t size)
{
    struct pim_message m;
    struct pim_record r;
    if (lan == 1 && from == sim_address(2, 1) && pim_parse(bytes, size, &m) == NULL && m.type == PIM_JOIN_PRUNE)
        while (pim_next_record(&m.u.join_prune, &r))
            for (unsigned n = 0; n < 4; n++)
                if (m.u.join_prune.upstream == sim_address(n, 1))
                    (r.prune ? said_prune : said_join)[n]++;
    return false;
}
static bool said(unsigned join0, unsigned join1, unsigned prune0, unsigned prune1)
{
    bool same;
    message_flush(&sim_routers[2].pim);
    same = said_join[0] == join0 && said_join[1] == join1 && said_prune[0] == prune0 && said_prune[1] == prune1;
    memset(said_join, 0, sizeof said_join);
    memset(said_prune, 0, sizeof said_prune);
    return same;
}

static void another_neighbour_upstream(void)
{
    const struct pim_hello goodbye = {.has_holdtime = true};
    two_upstream(MODE_SPARSE);
    sim_drops = watch_router_2;
    self = 2;
    pim_local(link_of(2, 2), S, G, true);
    CHECK(said(1, 0, 0, 0));
    sim_run(10);
    /* Another route: joined and pruned at once. */
    sim_set_route(2, S, 1, 1, 20);
    CHECK(said(0, 1, 1, 0));
    /* An assert: joined soon, and the loser is not told. */
    e = entry_find(&sim_routers[2].pim, S, G);
    o = oif_get(e, link_of(2, 1));
    timer_set(&e->join, 50000);
    heard(false, 1, 1, 0);
    CHECK(said(0, 0, 0, 0) && e->up_neighbour == sim_address(0, 1) && timer_left(&e->join) < 2500);
    timer_set(&e->join, 0);
    heard(false, 1, 0, 1); /* and never later */
    CHECK(e->up_neighbour == sim_address(1, 1) && timer_left(&e->join) == 0);
    sim_run(0);
    CHECK(said(0, 1, 0, 0));
    timer_set(&e->join, 50000);
    heard(true, INFINITE_PREFERENCE, 0xffffffff, 1); /* the end of it is no reason to hurry either */
    CHECK(e->up_neighbour == sim_address(1, 1) && said(0, 0, 0, 0));
    heard(false, 1, 1, 0);
    heard(true, INFINITE_PREFERENCE, 0xffffffff, 0);
    CHECK(e->up_neighbour == sim_address(1, 1) && said(0, 0, 0, 0) && timer_left(&e->join) < 2500);
    /* One that has gone is not pruned, nor is nobody. */
    hello_receive(link_of(2, 1), sim_address(1, 1), &goodbye);
    CHECK(e->up_neighbour == 0 && said(0, 0, 0, 0));
    sim_set_route(2, S, 1, 0, 20);
    CHECK(said(1, 0, 0, 0));
    hello_receive(link_of(2, 1), sim_address(0, 1), &goodbye);
    CHECK(said(0, 0, 0, 0));
    pim_local(link_of(2, 2), S, G, false);
    CHECK(said(0, 0, 0, 0) && sim_routers[2].pim.entry_count == 0);
    sim_drops = NULL;
}

/* RFC 7761 section 4.5.5: t_override, and t_suppressed, which is 1.1 to 1.4 times the period. */
static void what_is_overheard(void)
{
    chain(MODE_SPARSE, &default_settings);
    pim_local(link_of(2, 3), S, G, true);
    e = entry_find(&sim_routers[2].pim, S, G);
    for (unsigned n = 0; n < 200; n++) {
        timer_set(&e->join, 50000);
        sparse_overheard(e, true, 210);
        CHECK(timer_left(&e->join) < 2500);
    }
    timer_set(&e->join, 0);
    sparse_overheard(e, true, 210);
    CHECK(timer_left(&e->join) == 0);
    /* Without join suppression on the link a join of another router changes nothing. */
    e->up_link->neighbours->hello.tracking = true;
    timer_set(&e->join, 1000);
    sparse_overheard(e, false, 210);
    CHECK(timer_left(&e->join) == 1000);
    e->up_link->neighbours->hello.tracking = false;
    unsigned least = 100000, most = 0;
    for (unsigned n = 0; n < 1000; n++) {
        timer_set(&e->join, 1000);
        sparse_overheard(e, false, 210);
        unsigned left = (unsigned)timer_left(&e->join);
        least = left < least ? left : least, most = left > most ? left : most;
    }
    CHECK(least >= 66000 && least < 67000 && most < 84000 && most > 83000);
    timer_set(&e->join, 90000); /* never sooner */
    sparse_overheard(e, false, 210);
    CHECK(timer_left(&e->join) == 90000);
    sparse_leave(e);
    sparse_overheard(e, true, 210), sparse_overheard(e, false, 210);
    CHECK(!e->join.set);
}

static void joins_from_below(void)
{
    facing(MODE_SPARSE);
    CHECK(o->down == JOINED && timer_left(&o->expiry) == 210000);
    sparse_downstream(o, false, 100); /* a shorter time counts for nothing */
    CHECK(timer_left(&o->expiry) == 210000);
    sparse_downstream(o, false, 211);
    CHECK(timer_left(&o->expiry) == 211000);
    sparse_downstream(o, false, PIM_FOREVER);
    CHECK(!o->expiry.set && o->down == JOINED);
    /* A second neighbour may override a prune. */
    hello_receive(o->link, sim_address(5, 1), &(struct pim_hello){.has_holdtime = true, .holdtime = 100, .has_lan_delay = true});
    sparse_downstream(o, true, 210);
    CHECK(o->down == PRUNE_PENDING && timer_left(&o->pending) == 3000 && forwards(0, 1));
    sim_run(1000);
    sparse_downstream(o, true, 210); /* said again: the time runs on */
    CHECK(timer_left(&o->pending) == 2000);
    sparse_downstream(o, false, 210);
    CHECK(o->down == JOINED && !o->pending.set);
    sparse_downstream(o, true, 210);
    sent[0] = 0;
    sim_run(2999);
    SENT("");
    CHECK(o->down == PRUNE_PENDING);
    sim_run(1);
    SENT("prune "); /* the echo, in its own name */
    CHECK(last.u.join_prune.upstream == sim_address(0, 1) && last.u.join_prune.holdtime == 210);
    CHECK(known() == NULL || (known()->down == NO_INFO && !known()->expiry.set));
    /* A prune where nobody has joined is nothing. */
    facing(MODE_SPARSE);
    o->down = NO_INFO;
    sparse_downstream(o, true, 210);
    CHECK(o->down == NO_INFO && !o->pending.set);
}

/* ---- dense mode (RFC 3973 section 4.4) ---- */

/* Router 1 of a chain, whose neighbour upstream is router 0; nobody wants anything below it. */
static void dense_chain(void)
{
    struct settings quiet = default_settings;
    quiet.refresh_interval = 0;
    chain(MODE_DENSE, &quiet);
    copies(0, 1);
    sim_run(1000);
    e = entry_find(&sim_routers[1].pim, S, G);
    CHECK(e->up == UP_PRUNED && timer_left(&e->prune_limit) > 208000 && e->up_neighbour == sim_address(0, 1));
    memset(sim_sent, 0, sizeof sim_sent);
}
static void wanted_by_others(void)
{
    sim_routers[1].others = true;
    pim_some_receivers(&sim_routers[1].pim, S, G);
    CHECK(e->up == ACK_PENDING && timer_left(&e->graft) == 3000 && !e->prune_limit.set);
}
static unsigned sent_by_1(enum pim_type type)
{
    message_flush(&sim_routers[1].pim);
    unsigned count = sim_sent[1][type];
    sim_sent[1][type] = 0;
    return count;
}

static void prunes_upstream(void)
{
    dense_chain();
    /* Another router's prune puts our own next one off, and never makes it sooner. */
    timer_set(&e->prune_limit, 60000);
    dense_overheard(e, true, 59);
    CHECK(timer_left(&e->prune_limit) == 60000);
    dense_overheard(e, true, 61);
    CHECK(timer_left(&e->prune_limit) == 61000 && !e->join.set);
    dense_join_due(e); /* nothing to override */
    CHECK(sent_by_1(PIM_JOIN_PRUNE) == 0);
    /* What packets make, and what they do not. */
    dense_data(e);
    CHECK(sent_by_1(PIM_JOIN_PRUNE) == 0);
    timer_clear(&e->prune_limit);
    dense_data(e);
    CHECK(sent_by_1(PIM_JOIN_PRUNE) == 1 && timer_left(&e->prune_limit) == 210000);
    /* A state refresh. */
    timer_set(&e->prune_limit, 5000);
    dense_refreshed(e, false);
    CHECK(timer_left(&e->prune_limit) == 5000 && sent_by_1(PIM_JOIN_PRUNE) == 0);
    dense_refreshed(e, true);
    CHECK(timer_left(&e->prune_limit) == 210000 && sent_by_1(PIM_JOIN_PRUNE) == 0);
    timer_clear(&e->prune_limit);
    dense_refreshed(e, false);
    CHECK(timer_left(&e->prune_limit) == 210000 && sent_by_1(PIM_JOIN_PRUNE) == 1);
    /* It leaves all of it behind. */
    timer_set(&e->join, 1), timer_set(&e->graft, 1);
    dense_leave(e);
    CHECK(!e->join.set && !e->graft.set && !e->prune_limit.set && e->up_link == NULL && e->up_neighbour == 0);
    /* Beside the source there is nobody to tell. */
    dense_chain();
    e = entry_find(&sim_routers[0].pim, S, G);
    dense_overheard(e, true, 300), dense_data(e), dense_restarted(e);
    CHECK(e->up == UP_PRUNED && !e->join.set && !e->prune_limit.set && e->up_neighbour == 0);
}

static void prunes_that_go_ahead(void)
{
    dense_chain();
    /* Its neighbour has restarted: at once, and then not again for a second. */
    dense_restarted(e);
    CHECK(sent_by_1(PIM_JOIN_PRUNE) == 1 && timer_left(&e->prune_limit) == 210000);
    sim_run(999);
    timer_set(&e->life, 60000);
    dense_restarted(e);
    CHECK(sent_by_1(PIM_JOIN_PRUNE) == 0 && !e->prune_limit.set && timer_left(&e->life) == 1);
    timer_clear(&e->life);
    sim_run(1);
    dense_restarted(e);
    CHECK(sent_by_1(PIM_JOIN_PRUNE) == 1);
    /* Not for a source that is silent, nor without packets, nor to nobody, nor where it is wanted. */
    sim_run(2000);
    uint64_t active = e->active_until;
    e->active_until = sim_now;
    dense_restarted(e);
    CHECK(sent_by_1(PIM_JOIN_PRUNE) == 0);
    e->active_until = sim_now + 1;
    dense_restarted(e);
    CHECK(sent_by_1(PIM_JOIN_PRUNE) == 1);
    sim_run(2000);
    e->active_until = active;
    e->flows = false;
    dense_restarted(e);
    CHECK(sent_by_1(PIM_JOIN_PRUNE) == 0);
    e->flows = true;
    e->up_neighbour = 0;
    dense_restarted(e);
    CHECK(sent_by_1(PIM_JOIN_PRUNE) == 0);
    e->up_neighbour = sim_address(0, 1);
    sim_routers[1].others = true;
    dense_restarted(e);
    CHECK(sent_by_1(PIM_JOIN_PRUNE) == 0);
}

static void grafts_upstream(void)
{
    dense_chain();
    sim_drops = watch; /* nothing is dropped */
    wanted_by_others();
    CHECK(sent_by_1(PIM_GRAFT) == 1);
    e->up_neighbour = sim_address(5, 1); /* somebody who does not answer */
    sim_run(2999);
    e->up = ACK_PENDING, timer_set(&e->graft, 1);
    sim_run(1);
    CHECK(sent_by_1(PIM_GRAFT) == 1 && timer_left(&e->graft) == 3000);
    dense_refreshed(e, true); /* the prune is in force yet: it will be overridden */
    CHECK(e->up == ACK_PENDING && e->join.set && timer_left(&e->join) < 2500);
    timer_clear(&e->join);
    dense_refreshed(e, false); /* as good as an acknowledgement */
    CHECK(e->up == FORWARDING && !e->graft.set && !e->join.set);
    dense_refreshed(e, false), dense_graft_ack(e);
    CHECK(e->up == FORWARDING && !e->join.set);
    /* Another router's prune is overridden, once; another router's join does as well. */
    e->up_neighbour = sim_address(0, 1);
    dense_overheard(e, true, 210);
    CHECK(e->join.set && timer_left(&e->join) < 2500);
    timer_set(&e->join, 9000);
    dense_overheard(e, true, 210), dense_refreshed(e, true);
    CHECK(timer_left(&e->join) == 9000);
    dense_overheard(e, false, 210);
    CHECK(!e->join.set);
    sent_by_1(PIM_JOIN_PRUNE);
    dense_join_due(e);
    CHECK(sent_by_1(PIM_JOIN_PRUNE) == 1);
    e->up_neighbour = 0;
    dense_join_due(e);
    CHECK(sent_by_1(PIM_JOIN_PRUNE) == 0);
}

static void prunes_from_below(void)
{
    const struct pim_hello second = {.has_holdtime = true, .holdtime = 1000, .has_lan_delay = true, .has_state_refresh = true};
    const struct metric best = {false, 0, 0, sim_address(5, 1)};
    facing(MODE_DENSE);
    /* One neighbour: at once. It holds until the sender counts from its own prune: 3 s less. */
    dense_downstream(o, true, 100);
    CHECK(o->down == PRUNED && timer_left(&o->expiry) == 97000 && !o->pending.set && !forwards(0, 1));
    SENT("");
    dense_downstream(o, true, 96);
    CHECK(timer_left(&o->expiry) == 97000);
    dense_downstream(o, true, 98);
    CHECK(timer_left(&o->expiry) == 98000 && o->hold == 100);
    dense_downstream(o, true, PIM_FOREVER);
    CHECK(!o->expiry.set && o->down == PRUNED);
    dense_downstream(o, true, 10);
    CHECK(!o->expiry.set);
    dense_downstream(o, false, 0);
    CHECK(o->down == NO_INFO && o->hold == 0 && forwards(0, 1));
    dense_downstream(o, true, 7), dense_downstream(o, false, 0), dense_downstream(o, true, 7);
    CHECK(timer_left(&o->expiry) == 4000);
    dense_downstream(o, false, 0), dense_downstream(o, true, 6);
    CHECK(timer_left(&o->expiry) == 3000); /* so short that it is halved */
    dense_downstream(o, false, 0), dense_downstream(o, true, PIM_FOREVER);
    CHECK(o->down == PRUNED && !o->expiry.set);
    dense_downstream(o, false, 0);
    /* Several: after the time in which they may override it, with an echo. */
    hello_receive(o->link, sim_address(5, 1), &second);
    sent[0] = 0;
    dense_downstream(o, true, 100);
    CHECK(o->down == PRUNE_PENDING && timer_left(&o->pending) == 3000 && forwards(0, 1));
    sim_run(1000);
    dense_downstream(o, true, 120);
    CHECK(timer_left(&o->pending) == 2000 && o->hold == 120);
    sim_run(2000);
    CHECK(o->down == PRUNED && timer_left(&o->expiry) == 117000);
    SENT("prune ");
    CHECK(last.u.join_prune.upstream == sim_address(0, 1) && last.u.join_prune.holdtime == 120);
    dense_downstream(o, false, 0), dense_downstream(o, true, 100), dense_downstream(o, false, 0);
    CHECK(o->down == NO_INFO && !o->pending.set && !o->expiry.set);
    /* One who does not know that somebody else forwards here is told. */
    assert_receive(o, &best, 100000);
    message_flush(&sim_routers[0].pim), sent[0] = 0;
    dense_downstream(o, true, 100);
    SENT("assert ");
    dense_graft(o->link, sim_address(1, 1), &(struct pim_record){.source = S, .group = G}, 100);
    SENT("other assert ");
    CHECK(o->down == NO_INFO);
    assert_forget(o);
    o->down = PRUNED;
    dense_graft(o->link, sim_address(1, 1), &(struct pim_record){.source = S, .group = G}, 100);
    SENT("other ");
    CHECK(o->down == NO_INFO && last.type == PIM_GRAFT_ACK && last.u.join_prune.upstream == sim_address(1, 1));
    /* Where the packets come in nobody can prune. */
    o = oif_get(e, link_of(0, 0));
    dense_downstream(o, true, 100);
    CHECK(o->down == NO_INFO);
    o->down = PRUNED;
    dense_graft(o->link, sim_address(1, 0), &(struct pim_record){.source = S, .group = G}, 100);
    CHECK(o->down == PRUNED);
}

/* Other settings: what runs goes on, and the neighbours know at once. */
static void settings_that_change(void)
{
    struct settings s = default_settings;
    two_on_a_lan(MODE_SPARSE);
    CHECK(link_of(0, 0)->designated == sim_address(1, 0));
    unsigned before = sim_sent[0][PIM_HELLO];
    pim_set(&sim_routers[0].pim, &s); /* the same */
    CHECK(sim_sent[0][PIM_HELLO] == before);
    s.priority = 5;
    s.hello_period = 2000;
    pim_set(&sim_routers[0].pim, &s);
    CHECK(sim_sent[0][PIM_HELLO] == before + 1 && link_of(0, 0)->designated == sim_address(0, 0));
    sim_run(5);
    CHECK(link_of(1, 0)->designated == sim_address(0, 0));
    CHECK(timer_left(&link_of(1, 0)->neighbours->liveness) > 6900 && timer_left(&link_of(1, 0)->neighbours->liveness) <= 7000);
    sim_run(10000);
    CHECK(sim_sent[0][PIM_HELLO] >= before + 5);
    /* A link that has not said hello yet says the first one when it would have. */
    sim_join_lan(0, 1, MODE_SPARSE);
    s.priority = 6;
    pim_set(&sim_routers[0].pim, &s);
    CHECK(!link_of(0, 1)->greeted && timer_left(&link_of(0, 1)->hello) <= 5000 && sim_sent[1][PIM_HELLO] == 0);
}

int main(void)
{
    log_level = LEVEL_OFF;
    RUN(joins_are_sent_in_time);
    RUN(an_entry_that_leaves_forgets_whom_it_joined);
    RUN(another_neighbour_upstream);
    RUN(what_is_overheard);
    RUN(joins_from_below);
    RUN(prunes_upstream);
    RUN(prunes_that_go_ahead);
    RUN(grafts_upstream);
    RUN(prunes_from_below);
    RUN(settings_that_change);
    sim_reset();
    return unit_end();
}
