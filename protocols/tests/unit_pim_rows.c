/* PIM's tables row by row, and the times and fields that messages and timers get: asserts (RFC 7761 section 4.6.1, RFC 3973
 * section 4.6.4) and state refresh (RFC 3973 section 4.5). Ends with "N passed, N failed". */
#include "pim_rows.h"

static void asserts_without_a_winner(void)
{
    /* An inferior one, or a cancel: this router wins, and repeats it 3 s before 180 s are over. */
    ROW(MODE_SPARSE, (void)0, heard(false, 1, 11, 5), won(177000)), SENT("assert ");
    CHECK(last.u.assert.preference == 1 && last.u.assert.metric == 10 && !last.u.assert.rpt);
    CHECK(last.u.assert.source == S && last.u.assert.group == G);
    ROW(MODE_SPARSE, (void)0, heard(false, 2, 9, 5), won(177000)), SENT("assert ");
    ROW(MODE_SPARSE, (void)0, heard(true, 1, 9, 5), won(177000)), SENT("assert ");
    ROW(MODE_SPARSE, (void)0, heard(true, INFINITE_PREFERENCE, 0xffffffff, 5), won(177000)), SENT("assert ");
    CHECK(forwards(0, 1));
    /* A better one. */
    ROW(MODE_SPARSE, (void)0, heard(false, 1, 9, 5), lost_to(5, 100000)), SENT("");
    CHECK(!forwards(0, 1));
    ROW(MODE_SPARSE, (void)0, heard(false, 0, 11, 5), lost_to(5, 100000)), SENT("");
    ROW(MODE_SPARSE, (void)0, heard(false, 1, 10, 5), lost_to(5, 100000)), SENT(""); /* by its address */
    /* Nobody is there for whom this router would forward. */
    ROW(MODE_SPARSE, o->down = NO_INFO, heard(false, 1, 11, 5), nothing()), SENT("");
    ROW(MODE_SPARSE, o->down = NO_INFO, heard(false, 1, 9, 5), nothing()), SENT("");
    /* Nor for (*,G), nor without a route, nor where the packets come in. */
    facing(MODE_SPARSE);
    CHECK(assert_could(e, link_of(0, 1)) && !assert_could(e, link_of(0, 0)));
    pim_local(link_of(0, 1), 0, htonl(0xef010101), true);
    CHECK(!assert_could(entry_find(&sim_routers[0].pim, 0, htonl(0xef010101)), link_of(0, 1)));
    e->route.index = 0;
    CHECK(!assert_could(e, link_of(0, 1)) && entry_metric(e, link_of(0, 1)).rpt);
}

static void asserts_to_the_winner(void)
{
    ROW(MODE_SPARSE, heard(false, 1, 11, 5), (sim_run(1000), heard(false, 1, 12, 6)), won(177000)), SENT("assert ");
    ROW(MODE_SPARSE, heard(false, 1, 11, 5), heard(false, 1, 9, 5), lost_to(5, 100000)), SENT("");
    ROW(MODE_SPARSE, heard(false, 1, 11, 5), heard(true, INFINITE_PREFERENCE, 0xffffffff, 5), won(177000)), SENT("assert ");
    /* Its own time. */
    ROW(MODE_SPARSE, heard(false, 1, 11, 5), sim_run(177000), won(177000)), SENT("assert ");
    ROW(MODE_SPARSE, (heard(false, 1, 11, 5), o->down = NO_INFO), (timer_clear(&o->assert_timer), assert_due(o)), nothing());
    /* Nobody needs it any more: it says so. */
    facing(MODE_SPARSE);
    heard(false, 1, 11, 5), sent[0] = 0;
    sparse_prune_due(o);
    SENT("assert ");
    CHECK(last.u.assert.rpt && last.u.assert.preference == INFINITE_PREFERENCE && last.u.assert.metric == 0xffffffff);
    /* A time that is too short for a repetition is used whole. */
    facing(MODE_SPARSE);
    sim_routers[0].pim.settings.assert_time = 3000;
    heard(false, 1, 11, 5);
    CHECK(won(3000));
    sim_routers[0].pim.settings.assert_time = 3001;
    heard(false, 1, 11, 5);
    CHECK(won(1));
}

static void asserts_to_a_loser(void)
{
    ROW(MODE_SPARSE, heard(false, 1, 9, 5), (sim_run(1000), heard(false, 1, 9, 5)), lost_to(5, 100000));
    ROW(MODE_SPARSE, heard(false, 1, 9, 5), (sim_run(1000), heard(false, 1, 8, 6)), lost_to(6, 100000));
    CHECK(o->winner.metric == 8);
    /* One that is better than this router's own and worse than the winner's. */
    ROW(MODE_SPARSE, heard(false, 1, 5, 5), (sim_run(1000), heard(false, 1, 9, 6)), lost_to(5, 99000));
    ROW(MODE_SPARSE, heard(false, 1, 9, 5), (sim_run(1000), heard(true, INFINITE_PREFERENCE, 0xffffffff, 6)), lost_to(5, 99000));
    /* The winner has become worse than this router, or cancels, or falls silent. */
    ROW(MODE_SPARSE, heard(false, 1, 9, 5), heard(false, 1, 11, 5), nothing()), SENT("");
    ROW(MODE_SPARSE, heard(false, 1, 9, 5), heard(true, INFINITE_PREFERENCE, 0xffffffff, 5), nothing());
    CHECK(forwards(0, 1));
    ROW(MODE_SPARSE, heard(false, 1, 9, 5), sim_run(99999), lost_to(5, 1));
    ROW(MODE_SPARSE, heard(false, 1, 9, 5), sim_run(100000), nothing());
    CHECK(forwards(0, 1));
    /* What comes in is the winner's. */
    ROW(MODE_SPARSE, heard(false, 1, 9, 5), assert_data(o), lost_to(5, 100000)), SENT("");
    /* Nobody is there any more for whom it matters; another route. */
    ROW(MODE_SPARSE, heard(false, 1, 9, 5), (o->down = NO_INFO, assert_review(e)), nothing());
    ROW(MODE_SPARSE, heard(false, 1, 9, 5), (e->route.metric = 8, assert_review(e)), nothing());
    ROW(MODE_SPARSE, heard(false, 1, 9, 5), (e->route.metric = 9, assert_review(e)), lost_to(5, 100000));
}

static void packets_on_an_outgoing_interface(void)
{
    ROW(MODE_SPARSE, (void)0, assert_data(o), won(177000)), SENT("assert ");
    ROW(MODE_SPARSE, o->down = NO_INFO, assert_data(o), nothing()), SENT("");
    ROW(MODE_DENSE, (void)0, assert_data(o), won(180000)), SENT("assert ");
    ROW(MODE_DENSE, o->down = PRUNED, assert_data(o), won(180000)), SENT("assert "); /* RFC 3973: pruned or not */
}

/* Where the packets come in any assert decides whose they are, this router's own being none. */
static void asserts_on_the_way_in(void)
{
    facing(MODE_SPARSE);
    sim_drops = NULL;
    self = 1;
    pim_local(link_of(1, 2), S, G, true);
    e = entry_find(&sim_routers[1].pim, S, G);
    o = oif_get(e, link_of(1, 1));
    heard(true, 1, 10, 5); /* with the RPT bit, but not infinite */
    CHECK(lost_to(5, 100000) && entry_upstream(e) == sim_address(5, 1));
    heard(false, 9, 90, 6);
    CHECK(lost_to(6, 100000) && entry_upstream(e) == sim_address(6, 1));
    heard(true, INFINITE_PREFERENCE, 0xffffffff, 6);
    CHECK(nothing() && entry_upstream(e) == sim_address(0, 1));
    heard(true, INFINITE_PREFERENCE, 1, 5); /* RFC 7761 section 4.6.3: whatever its metric is */
    CHECK(nothing());
    pim_local(link_of(1, 2), S, G, false); /* joined for nobody: it does not matter */
    e = entry_get(&sim_routers[1].pim, S, G);
    o = oif_get(e, link_of(1, 1));
    heard(false, 1, 1, 5);
    CHECK(nothing());
}

static void dense_asserts(void)
{
    /* A winner does not repeat it. */
    ROW(MODE_DENSE, (void)0, heard(false, 1, 11, 5), won(180000)), SENT("assert ");
    ROW(MODE_DENSE, heard(false, 1, 11, 5), sim_run(180000), nothing()), SENT("");
    /* A loser tells the winner that it needs nothing, once, for as long as the assert stands. */
    ROW(MODE_DENSE, (void)0, heard(false, 1, 9, 1), lost_to(1, 100000)), SENT("prune ");
    CHECK(last.u.join_prune.upstream == sim_address(1, 1) && last.u.join_prune.holdtime == 100);
    ROW(MODE_DENSE, (heard(false, 1, 9, 1), message_flush(&sim_routers[0].pim)), heard(false, 1, 9, 1), lost_to(1, 100000)), SENT("");
    ROW(MODE_DENSE, (heard(false, 1, 9, 1), message_flush(&sim_routers[0].pim)), heard(false, 1, 8, 5), lost_to(5, 100000));
    message_flush(&sim_routers[0].pim);
    CHECK(last.u.join_prune.upstream == sim_address(5, 1));
    /* Whether anybody is there or not (it may be pruned). */
    ROW(MODE_DENSE, o->down = PRUNED, heard(false, 1, 9, 1), lost_to(1, 100000));
    ROW(MODE_DENSE, heard(false, 1, 9, 1), (e->route.metric = 8, assert_review(e)), lost_to(1, 100000));
    /* Not where the packets come in: the winner is who they come from. */
    facing(MODE_DENSE);
    sim_run(100);
    sim_drops = NULL;
    unsigned before = sim_sent[1][PIM_JOIN_PRUNE];
    self = 1;
    sim_routers[1].others = true;
    pim_new_flow(&sim_routers[1].pim, S, G, 16);
    e = entry_find(&sim_routers[1].pim, S, G);
    o = oif_get(e, link_of(1, 1));
    heard(false, 1, 9, 0);
    message_flush(&sim_routers[1].pim);
    CHECK(lost_to(0, 100000) && sim_sent[1][PIM_JOIN_PRUNE] == before);
}

/* What waits to be sent goes before the assert, which may be about the same. */
static void an_assert_comes_behind_what_was_said_before(void)
{
    facing(MODE_SPARSE);
    message_record(o->link, PIM_JOIN_PRUNE, 0, sim_address(1, 1), S, G, true, 210);
    heard(false, 1, 11, 5);
    CHECK(strcmp(sent, "prune assert ") == 0);
}

/* ---- state refresh ---- */

static struct pim_refresh from_above(unsigned interval)
{
    return (struct pim_refresh){{G, S, false, 0, 0}, htonl(0x0a630001), 16, 10, (uint8_t)interval, true, false, false};
}

static void refresh_from(unsigned router, unsigned neighbour, const struct pim_refresh *r)
{
    uint8_t bytes[PIM_MESSAGE_SIZE];
    CHECK(pim_receive(link_of(router, router), sim_address(neighbour, router), htonl(0xe000000d), bytes, pim_build_refresh(bytes, r)) == NULL);
}

static struct pim_refresh seen;
static unsigned seen_count;
static bool watch_refreshes(unsigned lan, uint32_t from, const uint8_t *bytes, size_t size)
{
    struct pim_message m;
    if (from == sim_address(lan - 1, lan) && pim_parse(bytes, size, &m) == NULL && m.type == PIM_STATE_REFRESH) {
        seen = m.u.refresh;
        seen_count++;
    }
    return false;
}

/* Router 1 of a chain passes them on, with its own metric. */
static void refreshes_are_passed_on(void)
{
    struct settings quiet = default_settings;
    struct pim_refresh r = from_above(60);
    quiet.refresh_interval = 0;
    chain(MODE_DENSE, &quiet);
    sim_drops = watch_refreshes;
    seen_count = 0;
    copies(0, 1);
    sim_run(1000);
    e = entry_find(&sim_routers[1].pim, S, G);
    o = oif_find(e, link_of(1, 2));
    CHECK(o->down == PRUNED);
    refresh_from(1, 0, &r);
    CHECK(seen_count == 1 && seen.metric.source == S && seen.metric.group == G && seen.metric.preference == 1 && seen.metric.metric == 1);
    CHECK(seen.mask_length == 24 && seen.originator == r.originator && seen.ttl == 9 && seen.interval == 60);
    CHECK(seen.prune && seen.override && !seen.prune_now);
    sim_run(60000);
    r.prune_now = true;
    r.ttl = 2;
    dense_downstream(o, false, 0);
    refresh_from(1, 0, &r);
    CHECK(seen_count == 2 && seen.ttl == 1 && !seen.prune && seen.prune_now);
    /* A winner of an assert says so; its assert lasts for three intervals. */
    sim_run(60000);
    r.ttl = 1;
    refresh_from(1, 0, &r);
    CHECK(seen_count == 2);
    r.ttl = 10;
    for (unsigned interval = 20; interval <= 60; interval += 40) {
        const struct metric worse = {false, 1, 90, sim_address(2, 2)};
        sim_run(60000);
        assert_receive(o, &worse, 180000);
        CHECK(o->assert == WINNER);
        r.interval = (uint8_t)interval;
        refresh_from(1, 0, &r);
        CHECK(timer_left(&o->assert_timer) == 3000 * interval && !seen.override);
    }
}

/* It is an assert as well, for three intervals; no more often than twice an interval is it passed on. */
static void refreshes_assert_and_are_counted(void)
{
    struct settings quiet = default_settings;
    struct pim_refresh r = from_above(20);
    quiet.refresh_interval = 0;
    chain(MODE_DENSE, &quiet);
    sim_drops = watch_refreshes;
    seen_count = 0;
    copies(0, 1);
    sim_run(100000);
    e = entry_find(&sim_routers[1].pim, S, G);
    self = 1;
    refresh_from(1, 0, &r);
    CHECK(lost_to(0, 60000) && seen_count == 1);
    sim_run(9999);
    refresh_from(1, 0, &r);
    CHECK(lost_to(0, 60000) && seen_count == 1);
    sim_run(1);
    refresh_from(1, 0, &r);
    CHECK(seen_count == 2);
    r.interval = 0; /* one second, then */
    sim_run(499);
    refresh_from(1, 0, &r);
    CHECK(lost_to(0, 3000) && seen_count == 2);
    sim_run(1);
    refresh_from(1, 0, &r);
    CHECK(seen_count == 3);
    /* One for a flow that nobody here knows of makes it known, if there is a way to its source. */
    r.metric.group = htonl(0xe8010102);
    refresh_from(1, 0, &r);
    CHECK(entry_find(&sim_routers[1].pim, S, r.metric.group) != NULL);
    r.metric.source = htonl(0x0a630003);
    refresh_from(1, 0, &r);
    CHECK(seen_count == 4);
    /* Where this router forwards it is compared with the own route. */
    facing(MODE_DENSE);
    r = from_above(20);
    r.metric.preference = 1;
    refresh_receive(link_of(0, 1), sim_address(1, 1), &r);
    CHECK(lost_to(1, 60000));
    facing(MODE_DENSE);
    r.metric.metric = 11;
    refresh_receive(link_of(0, 1), sim_address(1, 1), &r);
    CHECK(won(180000));
}

static void sends_for(unsigned ms) /* the source */
{
    for (unsigned n = 0; n < ms; n += 5000) {
        sim_packet(0, S, G);
        sim_run(5000);
    }
}

/* The router at the source makes them. */
static void refreshes_are_made(void)
{
    facing(MODE_DENSE);
    sim_packet(0, S, G);
    e = entry_find(&sim_routers[0].pim, S, G);
    e->ttl = 7;
    CHECK(timer_left(&e->refresh) == 60000);
    sends_for(30000);
    refresh_start(e); /* it runs already */
    CHECK(timer_left(&e->refresh) == 30000);
    sends_for(30000);
    SENT("refresh ");
    CHECK(last.u.refresh.metric.source == S && last.u.refresh.metric.group == G && last.u.refresh.originator == sim_address(0, 0));
    CHECK(last.u.refresh.ttl == 7 && last.u.refresh.interval == 60 && !last.u.refresh.prune_now && timer_left(&e->refresh) == 60000);
    e->ttl = 0; /* not known: Linux does not tell it */
    sends_for(60000);
    SENT("refresh ");
    CHECK(last.u.refresh.ttl == 64 && !last.u.refresh.prune_now);
    e->ttl = 1;
    sends_for(60000);
    SENT("refresh ");
    CHECK(last.u.refresh.ttl == 1 && last.u.refresh.prune_now); /* each third */
    /* Not for a source that is silent, elsewhere, on a link of the other mode, or without packets. */
    e->active_until = sim_now;
    refresh_due(e), SENT("");
    e->active_until = sim_now + 1;
    refresh_due(e), SENT("refresh ");
    e->flows = false;
    refresh_due(e), SENT("");
    e->flows = true;
    e->route.next_hop = sim_address(1, 0);
    refresh_due(e), SENT("");
    timer_clear(&e->refresh);
    refresh_start(e);
    CHECK(!e->refresh.set);
    e->route.next_hop = 0;
    e->rpf->mode = MODE_SPARSE;
    refresh_due(e), refresh_start(e), SENT("");
    CHECK(!e->refresh.set);
    e->rpf->mode = MODE_DENSE;
    sim_routers[0].pim.settings.refresh_interval = 0;
    refresh_start(e);
    CHECK(!e->refresh.set);
    sim_routers[0].pim.settings.refresh_interval = 1;
    refresh_start(e);
    CHECK(timer_left(&e->refresh) == 1);
    /* Nor to a link without neighbours. */
    hello_receive(link_of(0, 1), sim_address(1, 1), &(struct pim_hello){.has_holdtime = true});
    e->active_until = sim_now + 1;
    refresh_due(e), SENT("");
}

int main(void)
{
    log_level = LEVEL_OFF;
    RUN(asserts_without_a_winner);
    RUN(asserts_to_the_winner);
    RUN(asserts_to_a_loser);
    RUN(packets_on_an_outgoing_interface);
    RUN(asserts_on_the_way_in);
    RUN(dense_asserts);
    RUN(an_assert_comes_behind_what_was_said_before);
    RUN(refreshes_are_passed_on);
    RUN(refreshes_assert_and_are_counted);
    RUN(refreshes_are_made);
    sim_reset();
    return unit_end();
}
