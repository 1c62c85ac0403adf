/* PIM's tables row by row, and the times and fields that messages and timers get: asserts (RFC 7761 section 4.6.1, RFC 3973
 * section 4.6.4), state refresh (RFC 3973 section 4.5), joins (RFC 7761 sections 4.5.2 and 4.5.5). Ends with
 * "N passed, N failed". */
#include "pim_routers.h"

enum { INFINITE_PREFERENCE = 0x7fffffff };

/* ---- what goes out ---- */

static char sent[512];                /* "join prune assert ": what router 0 put on LAN 1 */
static struct pim_message last;       /* the last message of it; a Join/Prune's record is in last_record */
static struct pim_record last_record;
static uint8_t last_bytes[PIM_MESSAGE_SIZE];

static bool watch(unsigned lan, uint32_t from, const uint8_t *bytes, size_t size)
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

static void sent_is(const char *expected, int line)
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
static void facing(enum mode mode)
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
static void heard(bool rpt, uint32_t preference, uint32_t metric, unsigned router)
{
    const struct metric m = {rpt, preference, metric, sim_address(router, 1)};
    assert_receive(o, &m, 100000);
}

/* What is known of (S,G) on LAN 1; an entry that nobody needs has gone. */
static const struct oif *known(void)
{
    e = entry_find(&sim_routers[self].pim, S, G);
    return e ? oif_find(e, link_of(self, 1)) : NULL;
}
static bool lost_to(unsigned router, unsigned left)
{
    const struct oif *k = known();
    return k != NULL && k->assert == LOSER && k->winner.address == sim_address(router, 1) && timer_left(&k->assert_timer) == left;
}
static bool won(unsigned left)
{
    const struct oif *k = known();
    return k != NULL && k->assert == WINNER && k->winner.address == k->link->address && timer_left(&k->assert_timer) == left;
}
static bool nothing(void)
{
    const struct oif *k = known();
    return k == NULL || (k->assert == NO_ASSERT && !k->assert_timer.set);
}

static void row(bool holds, const char *what, int line)
{
    if (!holds) {
        printf("    line %d: does not hold: %s\n", line, what);
        unit_wrong++;
    }
}
/* Each begins anew. */
#define ROW(mode, before, what, holds) (facing(mode), before, sent[0] = 0, what, row(holds, #holds, __LINE__))

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
