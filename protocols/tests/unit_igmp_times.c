/* IGMP's times and the fields of its queries, on a clock of the test's own: RFC 3376 sections 6.2, 6.4.2, 6.6, 7.2, 7.3 and 8; and
 * settings that change while it runs. Ends with "N passed, N failed". */
#include "../common/net.h"
#include "../igmp/link.h"
#include "sim_clock.h"
#include "unit.h"
#include <arpa/inet.h>
#include <stdlib.h>

void loop_watch(int fd, void (*ready)(void *with, short events), void *with) { (void)fd, (void)ready, (void)with; }
void loop_unwatch(int fd) { (void)fd; }

/* ---- the queries that go out (linked with --wrap=raw_send) ---- */

static struct { uint64_t at; igmp_message m; uint32_t first; } queries[64];
static unsigned count;

bool __wrap_raw_send(int fd, const iface *i, uint32_t source, uint32_t to, const uint8_t *data, size_t size);
bool __wrap_raw_send(int fd, const iface *i, uint32_t source, uint32_t to, const uint8_t *data, size_t size)
{
    igmp_message m;
    (void)fd, (void)source;
    CHECK(igmp_parse(data, size, &m) == NULL && m.type == IGMP_QUERY && size + 24 <= i->mtu);
    CHECK(to == (m.group ? m.group : htonl(0xe0000001)));
    if (count < 64) {
        queries[count].at = sim_now;
        queries[count].first = m.count ? get_address(m.sources) : 0;
        queries[count++].m = m;
    }
    return true;
}

/* "0 1000+ 2000": when the queries went out since `since`, and which had the S flag. */
static const char *times(uint64_t since)
{
    static char text[512];
    size_t at = 0;
    text[0] = 0;
    for (unsigned n = 0; n < count; n++)
        at += (size_t)sprintf(text + at, "%s%u%s", n ? " " : "", (unsigned)(queries[n].at - since), queries[n].m.suppress ? "+" : "");
    return text;
}
static void times_are(uint64_t since, const char *expected, int line)
{
    if (strcmp(times(since), expected) != 0) {
        printf("    line %d: queries at \"%s\" instead of \"%s\"\n", line, times(since), expected);
        unit_wrong++;
    }
    count = 0;
}
#define TIMES(since, expected) times_are(since, expected, __LINE__)

/* ---- a link with hosts ---- */

static igmp_link *l;
static iface *lan;
static igmp_settings settings;
static uint32_t group; /* 239.1.1.1 */

static uint32_t ip(const char *text)
{
    uint32_t address = 0;
    CHECK(parse_address(text, &address));
    return address;
}
static uint32_t host(unsigned n) { return htonl(0x0a000100u + n); }

static void begin(void)
{
    igmp_do_without(lan);
    settings = igmp_defaults;
    igmp_use(lan, &settings);
    l = igmp_links;
    sim_run(1000000); /* far beyond the first queries */
    count = 0;
}

static void record_of(enum igmp_record_type type, unsigned first, unsigned number)
{
    static uint8_t sources[4 * 1024];
    igmp_record r = {.type = type, .group = group, .count = number, .sources = sources};
    for (unsigned n = 0; n < number; n++)
        put_address(sources + 4 * n, host(first + n));
    group_record(l, &r);
}
static bool wanted(unsigned n)
{
    const igmp_group *g = group_find(l, group);
    const igmp_source *s = g ? source_find(g, host(n)) : NULL;
    return s != NULL && s->wanted.set;
}
static bool there(void) { return group_find(l, group) != NULL; }

/* ---- the querier ---- */

static void general_queries(void)
{
    uint64_t begun;
    igmp_do_without(lan);
    count = 0;
    settings = igmp_defaults;
    begun = sim_now;
    igmp_use(lan, &settings);
    l = igmp_links;
    sim_run(300000);
    CHECK(queries[0].m.version == 3 && queries[0].m.group == 0 && queries[0].m.max_response_ms == 10000);
    CHECK(queries[0].m.robustness == 2 && queries[0].m.interval_s == 125 && !queries[0].m.suppress && queries[0].m.count == 0);
    TIMES(begun, "0 31250 156250 281250"); /* [Startup Query Interval] is a quarter of the query interval */
    igmp_do_without(lan);
    sim_run(300000);
    TIMES(begun, "");
    settings.startup_count = 4;
    settings.startup_interval_ms = 1000;
    settings.query_interval_ms = 20000;
    settings.version = 2;
    begun = sim_now;
    igmp_use(lan, &settings);
    l = igmp_links;
    sim_run(25000);
    CHECK(queries[0].m.version == 2);
    TIMES(begun, "0 1000 2000 3000 23000");
}

static void query_from(const char *from, igmp_message m)
{
    m.type = IGMP_QUERY;
    m.version = 3;
    querier_heard(l, ip(from), &m);
}

static void another_querier(void)
{
    uint64_t begun;
    begin();
    query_from("10.0.0.9", (igmp_message){0}); /* a higher address than 10.0.0.2 */
    query_from("0.0.0.0", (igmp_message){0});
    query_from("10.0.0.2", (igmp_message){0});
    CHECK(l->querier);
    /* [Other Querier Present Interval]: what it says of its robustness and interval, and half a response interval. */
    query_from("10.0.0.1", (igmp_message){.robustness = 3, .interval_s = 60});
    CHECK(!l->querier && l->querier_address == ip("10.0.0.1") && timer_left(&l->other_querier) == 3 * 60000 + 5000);
    CHECK(link_membership_ms(l) == 3 * 60000 + 10000 && link_last_member_count(l) == 3);
    query_from("10.0.0.1", (igmp_message){0}); /* says neither: the own ones count */
    begun = sim_now;
    CHECK(timer_left(&l->other_querier) == 2 * 125000 + 5000);
    record_of(IS_EX, 0, 0);
    record_of(TO_IN, 0, 0); /* asks nobody */
    sim_run(254999);
    CHECK(!l->querier);
    TIMES(begun, "");
    sim_run(1);
    CHECK(l->querier && l->querier_address == ip("10.0.0.2"));
    TIMES(begun, "255000"); /* no startup */
    sim_run(125000);
    TIMES(begun, "380000");
}

/* The link goes down, and comes back; it gets another address. */
static void a_link_that_changes(void)
{
    uint64_t begun;
    begin();
    lan->up = false;
    querier_update(l);
    CHECK(!l->querier && !l->active);
    query_from("10.0.0.1", (igmp_message){0}); /* comes to nothing */
    sim_run(1000000);
    CHECK(count == 0);
    begun = sim_now;
    lan->up = true;
    querier_update(l);
    sim_run(40000);
    TIMES(begun, "0 31250");
    querier_update(l); /* nothing has changed */
    CHECK(count == 0);
    begun = sim_now;
    lan->address = ip("10.0.0.3");
    querier_update(l);
    CHECK(l->querier_address == lan->address);
    sim_run(40000);
    TIMES(begun, "0 31250");
    query_from("10.0.0.2", (igmp_message){0});
    lan->address = ip("10.0.0.2");
    querier_update(l); /* the one that asks is another router as before */
    CHECK(!l->querier && count == 0);
}

/* A specific query lowers what it asks for to the last member query time: its response time as often as it is asked. */
static void specific_queries_of_another_router(void)
{
    uint8_t sources[4];
    igmp_message m = {.group = group, .max_response_ms = 500, .robustness = 2, .interval_s = 125, .sources = sources};
    begin();
    record_of(IS_EX, 1, 1);
    record_of(ALLOW, 2, 1);
    m.suppress = true;
    query_from("10.0.0.1", m);
    CHECK(timer_left(&group_find(l, group)->excluding) == 260000);
    m.suppress = false;
    query_from("10.0.0.1", m);
    CHECK(timer_left(&group_find(l, group)->excluding) == 1000);
    put_address(sources, host(2));
    m.count = 1;
    query_from("10.0.0.1", m);
    CHECK(timer_left(&source_find(group_find(l, group), host(2))->wanted) == 1000);
    sim_run(999);
    CHECK(there() && wanted(2));
    sim_run(1);
    CHECK(!there());
}

/* ---- members ---- */

static void members_are_remembered(void)
{
    begin();
    record_of(IS_EX, 0, 0);
    sim_run(259999); /* [Group Membership Interval] */
    CHECK(there());
    sim_run(1);
    CHECK(!there());
    record_of(IS_IN, 1, 2);
    sim_run(100000);
    record_of(ALLOW, 2, 1);
    sim_run(159999);
    CHECK(wanted(1) && wanted(2));
    sim_run(1);
    CHECK(!wanted(1) && wanted(2));
    sim_run(100000);
    CHECK(!there());
}

static void a_last_member_leaves(void)
{
    uint64_t begun;
    begin();
    record_of(IS_EX, 0, 0);
    begun = sim_now;
    record_of(TO_IN, 0, 0);
    CHECK(count == 1 && queries[0].m.group == group && queries[0].m.max_response_ms == 1000 && queries[0].m.count == 0);
    sim_run(1999);
    TIMES(begun, "0 1000");
    CHECK(there());
    sim_run(1);
    CHECK(!there());
    /* Somebody answers: what is still asked is to lower nothing elsewhere (section 6.6.3.1). */
    record_of(IS_EX, 0, 0);
    begun = sim_now;
    record_of(TO_IN, 0, 0);
    sim_run(500);
    record_of(IS_EX, 0, 0);
    sim_run(5000);
    TIMES(begun, "0 1000+");
    CHECK(there());
    /* Other counts and times. */
    settings.last_member_count = 3;
    settings.last_member_interval_ms = 200;
    igmp_use(lan, &settings);
    begun = sim_now;
    record_of(TO_IN, 0, 0);
    sim_run(599);
    CHECK(there() && queries[0].m.max_response_ms == 200);
    TIMES(begun, "0 200 400");
    sim_run(1);
    CHECK(!there());
}

static void last_sources_leave(void)
{
    uint64_t begun;
    begin();
    record_of(IS_IN, 1, 3);
    begun = sim_now;
    record_of(BLOCK, 1, 2);
    CHECK(count == 1 && queries[0].m.count == 2 && queries[0].m.group == group);
    sim_run(300);
    record_of(BLOCK, 1, 2); /* hosts say it twice: nothing new */
    sim_run(200);
    record_of(IS_IN, 1, 1); /* somebody wants one of them */
    sim_run(500);
    CHECK(count == 3 && queries[1].m.count == 1 && queries[1].first == host(2) && queries[2].first == host(1));
    TIMES(begun, "0 1000 1000+");
    sim_run(999);
    CHECK(wanted(2));
    sim_run(1);
    CHECK(!wanted(2) && wanted(1) && wanted(3));
}

/* A list that no message holds is asked for in several, and in parts of 512 sources. */
static void many_sources_leave(void)
{
    uint64_t begun;
    unsigned asked = 0;
    begin();
    settings.max_sources = 1000;
    igmp_use(lan, &settings);
    record_of(IS_IN, 1, 700);
    begun = sim_now;
    record_of(BLOCK, 1, 700);
    CHECK(count == 3 && queries[0].m.count == 366 && queries[1].m.count == 146 && queries[2].m.count == 188);
    sim_run(1999);
    for (unsigned n = 0; n < count; n++) {
        asked += queries[n].m.count;
        CHECK(queries[n].at == begun || queries[n].at == begun + 1000);
    }
    CHECK(asked == 2 * 700);
    sim_run(1);
    CHECK(!there());
}

static void fast_leave_asks_nobody(void)
{
    begin();
    settings.fast_leave = true;
    igmp_use(lan, &settings);
    record_of(IS_EX, 0, 0);
    record_of(TO_IN, 0, 0);
    sim_run(0);
    CHECK(!there());
    record_of(IS_IN, 1, 1);
    record_of(BLOCK, 1, 1);
    sim_run(0);
    CHECK(!there() && count == 0);
}

/* [Older Host Present Interval], during which a BLOCK and the sources of a TO_EX count for nothing. */
static void hosts_of_older_versions_are_remembered(void)
{
    begin();
    group_old_report(l, group, 2);
    sim_run(259000);
    record_of(ALLOW, 1, 1);
    record_of(BLOCK, 1, 1);
    CHECK(timer_left(&source_find(group_find(l, group), host(1))->wanted) == 260000);
    record_of(IS_EX, 0, 0);
    record_of(ALLOW, 1, 1);
    sim_run(1000);
    record_of(BLOCK, 1, 1);
    CHECK(timer_left(&source_find(group_find(l, group), host(1))->wanted) == 2000);
    begin();
    group_old_report(l, group, 1);
    sim_run(259999);
    record_of(IS_EX, 0, 0);
    group_leave(l, group);
    CHECK(timer_left(&group_find(l, group)->excluding) == 260000);
    sim_run(1);
    group_leave(l, group);
    CHECK(timer_left(&group_find(l, group)->excluding) == 2000);
}

/* ---- settings that change ---- */

/* Members count only while this router is the querier: for a proxy. */
static unsigned memberships(void);
static void members_of_the_querier_alone(void)
{
    begin();
    settings.querier_only = true;
    igmp_use(lan, &settings);
    record_of(IS_EX, 0, 0);
    CHECK(memberships() == 1);
    query_from("10.0.0.1", (igmp_message){0});
    CHECK(!l->querier && there() && memberships() == 0);
    sim_run(100000);
    record_of(IS_EX, 0, 0);
    CHECK(memberships() == 0);
    sim_run(155000);
    CHECK(l->querier && memberships() == 1);
}

static unsigned memberships(void)
{
    SOURCE_GROUP_ENTRY rows[64];
    DWORD size = sizeof rows, number = 0;
    HANDLE list;
    CHECK(MgmGroupEnumerationStart(igmp_client.handle, ALL_SOURCES, &list) == NO_ERROR);
    CHECK(MgmGroupEnumerationGetNext(list, &size, (PBYTE)rows, &number) == ERROR_NO_MORE_ITEMS);
    MgmGroupEnumerationEnd(list);
    return number;
}

static void other_settings(void)
{
    uint64_t begun;
    begin();
    record_of(IS_EX, 0, 0);
    begun = sim_now;
    igmp_use(lan, &settings); /* the same */
    CHECK(there() && memberships() == 1);
    settings.query_interval_ms = 40000;
    igmp_use(lan, &settings);
    sim_run(100000);
    TIMES(begun, "0 10000 50000 90000"); /* as after a start */
    settings.robustness = 3;
    begun = sim_now;
    igmp_use(lan, &settings);
    CHECK(count == 1 && queries[0].m.robustness == 3);
    count = 0;
    /* A list that permits it no more; then one that permits it again. */
    CHECK(prefix_add(&settings.groups, "239.1.0.0/16", false));
    igmp_use(lan, &settings);
    CHECK(!there() && memberships() == 0);
    record_of(IS_EX, 0, 0);
    CHECK(!there());
    prefix_free(settings.groups);
    settings.groups = NULL;
    igmp_use(lan, &settings);
    record_of(IS_EX, 0, 0);
    CHECK(there() && memberships() == 1);
    /* Members count only while this router is the querier. */
    query_from("10.0.0.1", (igmp_message){0});
    CHECK(memberships() == 1);
    settings.querier_only = true;
    igmp_use(lan, &settings);
    CHECK(memberships() == 0 && there());
    settings.query_interval_ms = 50000; /* it is not the one that asks */
    igmp_use(lan, &settings);
    CHECK(!l->querier && count == 0);
    settings.querier_only = false;
    igmp_use(lan, &settings);
    CHECK(memberships() == 1);
}

static void interfaces_that_are_named_no_more(void)
{
    igmp_named list[2] = {{.settings = igmp_defaults}, {.settings = igmp_defaults}};
    DWORD owner, component;
    iface *other = iface_named("other");
    if (other == NULL)
        return;
    other->index = 7, other->up = true, other->mtu = 1500, other->address = ip("10.7.0.2");
    begin();
    record_of(IS_EX, 0, 0);
    list[0].on = lan, list[1].on = other;
    igmp_use_all(list, 2);
    CHECK(there() && memberships() == 1 && MgmGetProtocolOnInterface(7, 0, &owner, &component) == NO_ERROR && owner == MS_IP_IGMP);
    igmp_use_all(list + 1, 1);
    CHECK(memberships() == 0 && MgmGetProtocolOnInterface(1, 0, &owner, &component) == ERROR_NOT_FOUND);
    CHECK(igmp_links != NULL && igmp_links->on == other && igmp_links->next == NULL);
    igmp_use_all(list, 1);
    CHECK(igmp_links->on == lan && igmp_links->next == NULL && MgmGetProtocolOnInterface(7, 0, &owner, &component) == ERROR_NOT_FOUND);
    igmp_do_without(other); /* is not there */
}

static void what_the_words_say(void)
{
    static char *const words[] = {"program", "--igmp-version", "2", "--fast-leave", "--deny", "239.2.0.0/16", "--max-groups=7",
                                  "eth0,robustness=5,fast-leave=no,permit=239.2.2.2", "eth1,query-interval=12.5,querier-only"};
    static const char *const wrong[][2] = {
        {"eth0,robustness=8", "robustness 8: a number from 1 to 7"}, {"eth0,robustness", "robustness : a number"},
        {"eth0,query-interval=0.9", "query-interval 0.9: seconds from 1 to 31744"}, {"eth0,query-interval=12x", "query-interval 12x: seconds"},
        {"eth0,query-interval", "query-interval : seconds"}, {"eth0,fast-leave=maybe", "fast-leave maybe: yes and no"},
        {"eth0,deny=239.1/8", "239.1/8: not an address"}, {"eth0,permit", ": not an address"}, {"eth0,loud", "eth0,loud: there is no setting \"loud\""},
        {"eth0,response-interval=125", "eth0: the response interval must be shorter"}, {"a/b", "a/b: no name of an interface"},
        {"--max-sources", "--max-sources needs a value"}, {"--max-groups=x", "max-groups x: a number from 0 to 16777216"},
    };
    igmp_names names = {0};
    igmp_settings given = igmp_defaults;
    options o;
    options_again(&o, (int)(sizeof words / sizeof *words), (char **)(uintptr_t)words);
    while (options_next(&o)) {
        if (o.name == NULL)
            CHECK(igmp_name(&names, &o, o.word, &given) == &names.list[names.count - 1]);
        else
            CHECK(igmp_option(&given, &o));
    }
    CHECK(o.mistake[0] == 0 && names.count == 2);
    const igmp_settings *zero = &names.list[0].settings, *one = &names.list[1].settings;
    CHECK(igmp_named_as(&names, iface_named("eth1")) == &names.list[1] && igmp_named_as(&names, lan) == NULL);
    CHECK(zero->version == 2 && zero->robustness == 5 && !zero->fast_leave && zero->max_groups == 7 && !zero->querier_only);
    CHECK(one->version == 2 && one->robustness == 2 && one->fast_leave && one->query_interval_ms == 12500 && one->querier_only);
    CHECK(!prefix_permits(zero->groups, ip("239.2.2.2"), true)); /* the first that fits counts, and that was given for all */
    CHECK(zero->groups->next != NULL && one->groups->next == NULL);
    CHECK(igmp_name(&names, &o, "eth1", &given) == NULL && strcmp(o.mistake, "eth1: named twice") == 0);
    prefix_free(given.groups);
    igmp_names_free(&names);
    CHECK(names.count == 0);
    options_end(&o);
    for (unsigned n = 0; n < sizeof wrong / sizeof *wrong; n++) {
        char word[64], *argv[] = {(char *)(uintptr_t)"program", word};
        strcpy(word, wrong[n][0]);
        given = igmp_defaults;
        options_again(&o, 2, argv);
        while (options_next(&o)) {
            if (o.name == NULL)
                igmp_name(&names, &o, o.word, &given);
            else
                igmp_option(&given, &o);
        }
        CHECK(strncmp(o.mistake, wrong[n][1], strlen(wrong[n][1])) == 0);
        igmp_names_free(&names);
        options_end(&o);
    }
    options_again(&o, 1, (char **)(uintptr_t)words);
    o.name = "loud";
    CHECK(!igmp_option(&given, &o));
    options_end(&o);
}

int main(void)
{
    log_level = LEVEL_OFF;
    setenv("MGM_FORWARDER", "memory", 1);
    setenv("MGM_LOG", "off", 1);
    group = ip("239.1.1.1");
    if ((lan = iface_named("lan")) == NULL)
        return 1;
    lan->index = 1, lan->up = true, lan->mtu = 1500, lan->address = ip("10.0.0.2");
    client_start(&igmp_client);
    RUN(general_queries);
    RUN(another_querier);
    RUN(a_link_that_changes);
    RUN(specific_queries_of_another_router);
    RUN(members_are_remembered);
    RUN(a_last_member_leaves);
    RUN(last_sources_leave);
    RUN(many_sources_leave);
    RUN(fast_leave_asks_nobody);
    RUN(hosts_of_older_versions_are_remembered);
    RUN(members_of_the_querier_alone);
    RUN(other_settings);
    RUN(interfaces_that_are_named_no_more);
    RUN(what_the_words_say);
    igmp_stop();
    return unit_end();
}
