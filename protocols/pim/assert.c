/* Asserts: which of the routers that forward to one link goes on doing so. RFC 7761 section 4.6, RFC 3973 section 4.6. */
#include "../common/log.h"
#include "pim.h"
#include <arpa/inet.h>

#define INFINITE 0x7fffffffu

static const struct metric infinite = {true, INFINITE, 0xffffffff, 0};

static bool is_infinite(const struct metric *m) { return m->rpt && m->preference == INFINITE; }

/* Is `a` better than `b`? */
static bool better(const struct metric *a, const struct metric *b)
{
    if (a->rpt != b->rpt)
        return b->rpt;
    if (a->preference != b->preference)
        return a->preference < b->preference;
    if (a->metric != b->metric)
        return a->metric < b->metric;
    return ntohl(a->address) > ntohl(b->address);
}

bool assert_could(const struct entry *e, const struct link *l)
{
    return e->source != 0 && e->route.index != 0 && l != e->rpf && (l->mode == MODE_DENSE || oif_wanted(e, l));
}

struct metric entry_metric(const struct entry *e, const struct link *l)
{
    struct metric mine = {false, e->route.preference, e->route.metric, l->address};
    return assert_could(e, l) ? mine : infinite;
}

/* AssertTrackingDesired: does it matter here who forwards? In dense mode it always does. */
static bool tracked(const struct entry *e, const struct oif *o)
{
    return o->link->mode == MODE_DENSE || oif_wanted(e, o->link) || (e->rpf == o->link && sparse_wanted(e));
}

void assert_send(struct oif *o)
{
    const struct entry *e = o->entry;
    struct metric mine = entry_metric(e, o->link);
    struct pim_assert assert = {e->group, e->source, mine.rpt, mine.preference, mine.metric};
    uint8_t bytes[PIM_MESSAGE_SIZE];
    message_flush(e->pim);
    message_send(o->link, htonl(0xe000000d), bytes, pim_build_assert(bytes, &assert));
}

void assert_forget(struct oif *o)
{
    o->assert = NO_ASSERT;
    o->winner = infinite;
    timer_clear(&o->assert_timer);
}

static void win(struct oif *o)
{
    const struct settings *s = &o->entry->pim->settings;
    bool dense = o->link->mode == MODE_DENSE;
    if (o->assert != WINNER)
        log_info("%s: this router forwards %s (assert)", o->link->name, entry_text(o->entry->source, o->entry->group));
    o->assert = WINNER;
    o->winner = entry_metric(o->entry, o->link);
    assert_send(o);
    /* The winner repeats its assert before the losers forget it. In dense mode it lets it go: RFC 3973 section 4.6.4.2. */
    timer_set(&o->assert_timer, dense || s->assert_time <= s->assert_override ? s->assert_time : s->assert_time - s->assert_override);
}

static void lose(struct oif *o, const struct metric *winner, unsigned time)
{
    struct entry *e = o->entry;
    struct link *l = o->link;
    bool news = o->assert != LOSER || o->winner.address != winner->address;
    if (news)
        log_info("%s: %s forwards %s (assert)", l->name, ip_text(winner->address), entry_text(e->source, e->group));
    o->assert = LOSER;
    o->winner = *winner;
    timer_set(&o->assert_timer, time);
    /* In dense mode the winner is to know that this router needs nothing: others may, and override this. */
    if (news && l->mode == MODE_DENSE && l != e->rpf)
        message_add(e, PIM_JOIN_PRUNE, l, winner->address, true, seconds(time));
}

void assert_data(struct oif *o)
{
    struct entry *e = o->entry;
    /* A loser sees the winner's packets all the time. */
    if (o->assert != LOSER && assert_could(e, o->link))
        win(o);
    entry_update(e);
}

void assert_receive(struct oif *o, const struct metric *metric, unsigned time)
{
    struct entry *e = o->entry;
    struct metric mine = entry_metric(e, o->link);
    bool acceptable = better(metric, &mine) && !is_infinite(metric);
    bool inferior = !is_infinite(&mine) && (is_infinite(metric) || better(&mine, metric));
    if (o->assert == LOSER) {
        if (metric->address == o->winner.address) {
            if (acceptable)
                lose(o, metric, time);
            else
                assert_forget(o);
        } else if (!is_infinite(metric) && better(metric, &o->winner)) {
            lose(o, metric, time);
        }
    } else if (inferior) {
        win(o);
    } else if (acceptable && (o->assert == WINNER || tracked(e, o))) {
        lose(o, metric, time);
    }
    entry_update(e);
}

void assert_due(void *oif)
{
    struct oif *o = oif;
    if (o->assert == WINNER && o->link->mode == MODE_SPARSE && assert_could(o->entry, o->link))
        win(o);
    else
        assert_forget(o);
    entry_update(o->entry);
}

void assert_review(struct entry *e)
{
    for (struct oif *o = e->oifs; o != NULL; o = o->next) {
        struct metric mine;
        if (o->assert == WINNER && !assert_could(e, o->link)) {
            assert_send(o); /* infinite: others go on at once */
            assert_forget(o);
        } else if (o->assert == LOSER && o->link->mode == MODE_SPARSE) {
            mine = entry_metric(e, o->link);
            if (!tracked(e, o) || better(&mine, &o->winner))
                assert_forget(o);
        }
    }
}
