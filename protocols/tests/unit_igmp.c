/* IGMP without a network: codes and messages, the tables of RFC 3376 section 6.4, and what the group manager makes of them.
 * Ends with "N passed, N failed". */
#include "../common/net.h"
#include "../igmp/link.h"
#include "unit.h"
#include <stdlib.h>
#include <sys/stat.h>

enum { GMI = 210000, LMQT = 2000, GROUP_TIMER = 150000 };
static igmp_link *l;
static uint32_t group; /* 239.1.1.1 */

static uint32_t ip(const char *text)
{
    uint32_t address = 0;
    CHECK(parse_address(text, &address));
    return address;
}

/* ---- messages ---- */

static void codes_of_times(void)
{
    for (unsigned code = 0; code < 256; code++)
        CHECK(igmp_value_code(igmp_code_value((uint8_t)code)) == code);
    CHECK(igmp_code_value(0x80) == 128 && igmp_code_value(0xff) == 31744);
    CHECK(igmp_value_code(129) == 0x80 && igmp_value_code(1000000) == 0xff);
}

static const char *parse(uint8_t *octets, size_t size, igmp_message *m)
{
    put16(octets + 2, 0);
    put16(octets + 2, ip_checksum(octets, size));
    return igmp_parse(octets, size, m);
}

static void queries_are_read(void)
{
    uint8_t o[64] = {0};
    uint32_t sources[2] = {ip("10.0.0.1"), ip("10.0.0.2")};
    igmp_query q = {.version = 3, .group = group, .max_response_ms = 1000, .robustness = 3, .interval_s = 125, .suppress = true};
    igmp_message m;
    size_t size = igmp_write_query(o, &q, sources, 2);
    CHECK(size == 20 && igmp_parse(o, size, &m) == NULL);
    CHECK(m.version == 3 && m.group == group && m.max_response_ms == 1000 && m.robustness == 3 && m.interval_s == 125);
    CHECK(m.suppress && m.count == 2 && get_address(m.sources + 4) == sources[1]);
    CHECK(igmp_parse(o, 19, &m) != NULL);
    o[11] = 3;
    CHECK(parse(o, size, &m) != NULL); /* a source that is not there */
    q.version = 2;
    CHECK(igmp_write_query(o, &q, NULL, 0) == 8 && igmp_parse(o, 8, &m) == NULL && m.version == 2 && m.max_response_ms == 1000);
    q.version = 1;
    CHECK(igmp_write_query(o, &q, NULL, 0) == 8 && igmp_parse(o, 8, &m) == NULL && m.version == 1);
    for (size_t n = 9; n < 12; n++)
        CHECK(parse(o, n, &m) != NULL);
    put_address(o + 4, ip("10.0.0.1"));
    CHECK(parse(o, 8, &m) != NULL);
}

static void reports_are_read_whole_or_not_at_all(void)
{
    uint8_t o[64];
    uint32_t source = ip("10.0.0.1");
    igmp_message m;
    igmp_record r;
    size_t size = igmp_begin_report(o);
    size = igmp_add_record(o, size, 9, group, NULL, 0); /* an unknown type */
    size = igmp_add_record(o, size, ALLOW, group, &source, 1);
    igmp_end_report(o, size);
    CHECK(igmp_parse(o, size, &m) == NULL && m.type == IGMP_V3_REPORT);
    CHECK(igmp_next_record(&m, &r) && r.type == ALLOW && r.count == 1 && get_address(r.sources) == source);
    CHECK(!igmp_next_record(&m, &r));
    memset(o + size, 0xee, 8);
    CHECK(parse(o, size + 8, &m) == NULL); /* what follows is ignored */
    CHECK(parse(o, size - 1, &m) != NULL);
    o[7] = 3;
    CHECK(parse(o, size, &m) != NULL);
    o[7] = 2;
    o[9] = 255; /* auxiliary data that is not there */
    CHECK(parse(o, size, &m) != NULL);
    o[9] = 0;
    put_address(o + 12, source); /* no group */
    CHECK(parse(o, size, &m) != NULL);
    o[0] = 0x99;
    CHECK(parse(o, size, &m) != NULL);
    igmp_write_old(o, IGMP_V2_LEAVE, group);
    CHECK(igmp_parse(o, 8, &m) == NULL && m.type == IGMP_V2_LEAVE && m.group == group);
    o[7] ^= 1;
    CHECK(igmp_parse(o, 8, &m) != NULL); /* the checksum */
}

/* ---- section 6.4 ---- */

/* What a timer stands at: its name, or milliseconds. A while may have passed since it was set. */
static const char *class(const timer *t)
{
    static char other[32];
    uint64_t left = timer_left(t);
    if (!t->set)
        return "0";
    if (left > GMI - 20000 && left <= GMI)
        return "gmi";
    if (left <= LMQT)
        return "lmqt";
    if (left > GROUP_TIMER - 20000 && left <= GROUP_TIMER)
        return "t";
    snprintf(other, sizeof other, "%u ms", (unsigned)left);
    return other;
}

/* "INCLUDE 1:gmi 2:lmqt", "EXCLUDE gmi 1:t 2:0": sources are 10.0.0.N. */
static const char *state(void)
{
    static char text[256];
    const igmp_group *g = group_find(l, group);
    int at;
    if (g == NULL)
        return "nothing";
    at = sprintf(text, "%s", g->exclude ? "EXCLUDE " : "INCLUDE");
    if (g->exclude)
        at += sprintf(text + at, "%s", class(&g->excluding));
    for (int n = 1; n < 10; n++) {
        char address[16];
        const igmp_source *s;
        sprintf(address, "10.0.0.%d", n);
        if ((s = source_find(g, ip(address))) != NULL)
            at += sprintf(text + at, " %d:%s", n, class(&s->wanted));
    }
    return text;
}

/* The record as it comes: type and the digits of its sources. */
static void record(enum igmp_record_type type, const char *digits)
{
    uint8_t sources[64];
    igmp_record r = {.type = type, .group = group, .sources = sources};
    for (; *digits != 0; digits++) {
        char address[16];
        sprintf(address, "10.0.0.%c", *digits);
        put_address(sources + 4 * r.count++, ip(address));
    }
    group_record(l, &r);
}

static void is(const char *expected, int line)
{
    if (strcmp(state(), expected) != 0) {
        printf("    line %d: \"%s\" instead of \"%s\"\n", line, state(), expected);
        unit_wrong++;
    }
}
#define IS(expected) is(expected, __LINE__)

/* INCLUDE (1,2), and EXCLUDE ({1,2},{3,4}) whose group timer has run a while. */
static void include(void)
{
    groups_drop(l);
    record(IS_IN, "12");
}
static void exclude(void)
{
    groups_drop(l);
    record(IS_EX, "34");
    record(ALLOW, "12");
    timer_set(&group_find(l, group)->excluding, GROUP_TIMER);
}

static void queries_sent_are(unsigned count, int line)
{
    if (l->queries != count) {
        printf("    line %d: %u queries instead of %u\n", line, (unsigned)l->queries, count);
        unit_wrong++;
    }
    l->queries = 0;
}
#define QUERIES(count) queries_sent_are(count, __LINE__)

static void in_include_mode(void)
{
    include(), IS("INCLUDE 1:gmi 2:gmi");
    record(IS_IN, "23"), IS("INCLUDE 1:gmi 2:gmi 3:gmi"), QUERIES(0);
    include(), record(IS_EX, "23"), IS("EXCLUDE gmi 2:gmi 3:0"), QUERIES(0);
    include(), record(ALLOW, "3"), IS("INCLUDE 1:gmi 2:gmi 3:gmi"), QUERIES(0);
    include(), record(BLOCK, "23"), IS("INCLUDE 1:gmi 2:lmqt"), QUERIES(1);
    include(), record(TO_EX, "23"), IS("EXCLUDE gmi 2:lmqt 3:0"), QUERIES(1);
    include(), record(TO_IN, "23"), IS("INCLUDE 1:lmqt 2:gmi 3:gmi"), QUERIES(1);
    include(), record(TO_IN, ""), IS("INCLUDE 1:lmqt 2:lmqt"), QUERIES(1);
}

static void in_exclude_mode(void)
{
    exclude(), IS("EXCLUDE t 1:gmi 2:gmi 3:0 4:0"), QUERIES(0);
    record(IS_IN, "25"), IS("EXCLUDE t 1:gmi 2:gmi 3:0 4:0 5:gmi"), QUERIES(0);
    record(IS_IN, "3"), IS("EXCLUDE t 1:gmi 2:gmi 3:gmi 4:0 5:gmi"), QUERIES(0);
    exclude(), record(IS_EX, "235"), IS("EXCLUDE gmi 2:gmi 3:0 5:gmi"), QUERIES(0);
    exclude(), record(ALLOW, "45"), IS("EXCLUDE t 1:gmi 2:gmi 3:0 4:gmi 5:gmi"), QUERIES(0);
    exclude(), record(BLOCK, "235"), IS("EXCLUDE t 1:gmi 2:lmqt 3:0 4:0 5:lmqt"), QUERIES(1);
    exclude(), record(TO_EX, "235"), IS("EXCLUDE gmi 2:lmqt 3:0 5:lmqt"), QUERIES(1);
    exclude(), record(TO_IN, "235"), IS("EXCLUDE lmqt 1:lmqt 2:gmi 3:gmi 4:0 5:gmi"), QUERIES(2);
}

static void nothing_comes_of_nothing(void)
{
    groups_drop(l);
    record(IS_IN, ""), IS("nothing");
    record(TO_IN, ""), IS("nothing");
    record(ALLOW, ""), IS("nothing");
    record(BLOCK, "1"), IS("nothing");
    record(IS_EX, ""), IS("EXCLUDE gmi");
    group = ip("224.0.0.5");
    record(IS_EX, ""), IS("nothing");
    group = ip("10.0.0.5");
    record(IS_EX, ""), IS("nothing");
    group = ip("239.1.1.1");
    QUERIES(0);
}

static void times_run_out(void)
{
    igmp_group *g;
    exclude();
    g = group_find(l, group);
    g->excluding.run(g); /* EXCLUDE becomes INCLUDE with what is wanted */
    timer_clear(&g->excluding);
    IS("INCLUDE 1:gmi 2:gmi");
    exclude();
    g = group_find(l, group);
    timer_clear(&source_find(g, ip("10.0.0.1"))->wanted);
    source_find(g, ip("10.0.0.1"))->wanted.run(source_find(g, ip("10.0.0.1"))); /* a source that is blocked now */
    IS("EXCLUDE t 1:0 2:gmi 3:0 4:0");
    include();
    g = group_find(l, group);
    for (int n = 1; n < 3; n++) {
        igmp_source *s = source_find(g, ip(n == 1 ? "10.0.0.1" : "10.0.0.2"));
        timer_clear(&s->wanted);
        s->wanted.run(s);
        IS(n == 1 ? "INCLUDE 2:gmi" : "nothing");
    }
}

static void hosts_of_older_versions(void)
{
    groups_drop(l);
    group_old_report(l, group, 2), IS("EXCLUDE gmi");
    record(TO_EX, "1"), IS("EXCLUDE gmi"); /* the list counts for nothing */
    record(ALLOW, "1"), record(BLOCK, "1"), IS("EXCLUDE gmi 1:gmi"), QUERIES(0);
    group_leave(l, group), IS("EXCLUDE lmqt 1:lmqt"), QUERIES(2);
    groups_drop(l);
    group_old_report(l, group, 1), IS("EXCLUDE gmi");
    group_leave(l, group), IS("EXCLUDE gmi"), QUERIES(0);
    record(TO_IN, "1"), IS("EXCLUDE gmi"), QUERIES(0);
}

static void fast_leave(void)
{
    l->settings.fast_leave = true;
    include(), record(TO_IN, "");
    CHECK(timer_left(&source_find(group_find(l, group), ip("10.0.0.1"))->wanted) <= 1);
    groups_drop(l), group_old_report(l, group, 2), group_leave(l, group);
    CHECK(timer_left(&group_find(l, group)->excluding) <= 1);
    QUERIES(0);
    l->settings.fast_leave = false;
}

static void a_listener_leaves_the_asking_to_the_querier(void)
{
    igmp_message m = {.type = IGMP_QUERY, .version = 3, .group = group, .max_response_ms = 1000};
    uint8_t source[4];
    l->querier = false;
    include(), record(TO_IN, ""), IS("INCLUDE 1:gmi 2:gmi"), QUERIES(0);
    put_address(source, ip("10.0.0.1"));
    m.sources = source;
    m.count = 1;
    group_lower(l, &m, LMQT), IS("INCLUDE 1:lmqt 2:gmi");
    m.count = 0;
    exclude(), group_lower(l, &m, LMQT), IS("EXCLUDE lmqt 1:gmi 2:gmi 3:0 4:0");
    l->querier = true;
}

/* Lets the repetition run that is due later. */
static void repeat(void)
{
    igmp_group *g = group_find(l, group);
    CHECK(g->ask_again.set);
    timer_clear(&g->ask_again);
    g->ask_again.run(g);
}

static void queries_are_repeated_as_often_as_is_set(void)
{
    exclude(), record(TO_IN, ""), QUERIES(2); /* for the group and for its sources */
    repeat(), QUERIES(2);
    CHECK(!group_find(l, group)->ask_again.set);
    l->settings.last_member_count = 3;
    include(), record(TO_IN, ""), QUERIES(1);
    repeat(), QUERIES(1);
    record(IS_IN, "1"); /* who has answered is asked about with the S flag, and so apart */
    repeat(), QUERIES(2);
    CHECK(!group_find(l, group)->ask_again.set);
    l->settings.last_member_count = 0;
}

/* A router that is set to an older version asks nothing that hosts of that version do not know. */
static void older_versions_ask_less(void)
{
    l->settings.version = 2;
    exclude(), record(TO_IN, ""), IS("EXCLUDE lmqt 1:gmi 2:gmi 3:0 4:0"), QUERIES(1);
    l->settings.version = 1;
    exclude(), record(TO_IN, ""), IS("EXCLUDE t 1:gmi 2:gmi 3:0 4:0"), QUERIES(0);
    l->settings.version = 3;
    l->querier = false;
    exclude(), record(TO_IN, ""), IS("EXCLUDE t 1:gmi 2:gmi 3:0 4:0"), QUERIES(0);
    l->querier = true;
}

/* Another router's query never gives more time, and none to a source that is blocked. */
static void a_query_of_another_router_only_lowers(void)
{
    igmp_message m = {.type = IGMP_QUERY, .version = 3, .group = group, .max_response_ms = 1000};
    uint8_t source[4];
    exclude();
    timer_set(&group_find(l, group)->excluding, 500);
    group_lower(l, &m, LMQT);
    CHECK(timer_left(&group_find(l, group)->excluding) <= 500);
    put_address(source, ip("10.0.0.3"));
    m.sources = source;
    m.count = 1;
    group_lower(l, &m, LMQT);
    CHECK(!source_find(group_find(l, group), ip("10.0.0.3"))->wanted.set);
}

static void many_groups_are_found_again(void)
{
    unsigned found = 0;
    groups_drop(l);
    for (uint8_t turn = 0; turn < 2; turn++)
        for (uint8_t n = 0; n < 100; n++) {
            uint8_t octets[4] = {239, 2, 0, n};
            group = get_address(octets);
            if (turn == 0)
                record(IS_EX, "");
            else
                found += group_find(l, group) != NULL;
        }
    CHECK(found == 100 && l->group_count == 100);
    groups_drop(l);
    CHECK(l->group_count == 0);
    for (unsigned n = 0; n < l->bucket_count; n++)
        CHECK(l->buckets[n] == NULL);
    group = ip("239.1.1.1");
}

static void limits_and_the_access_list(void)
{
    groups_drop(l);
    l->settings.max_sources = 2;
    record(IS_IN, "123"), IS("INCLUDE 1:gmi 2:gmi");
    for (int n = 0; n < 10; n++) /* what goes makes room */
        record(IS_EX, ""), record(ALLOW, "34"), IS("EXCLUDE gmi 3:gmi 4:gmi");
    groups_drop(l);
    record(IS_IN, "12");
    l->settings.max_sources = 256;
    l->settings.max_groups = 1;
    group = ip("239.1.1.2");
    record(IS_IN, "1"), IS("nothing");
    l->settings.max_groups = 1000;
    prefix_add(&l->settings.groups, "239.1.1.2", true);
    record(IS_IN, "1"), IS("INCLUDE 1:gmi");
    group = ip("239.1.1.3");
    record(IS_IN, "1"), IS("nothing");
    l->settings.groups = NULL;
    prefix_add(&l->settings.groups, "239.1.1.3", false);
    record(IS_IN, "1"), IS("nothing");
    group = ip("239.1.1.4");
    record(IS_IN, "1"), IS("INCLUDE 1:gmi");
    l->settings.groups = NULL;
    group = ip("239.1.1.1");
}

/* ---- the group manager ---- */

static HANDLE upstream; /* a protocol that owns the interface toward the source, 2 */

static unsigned memberships(void)
{
    SOURCE_GROUP_ENTRY rows[64];
    DWORD size = sizeof rows, count = 0;
    HANDLE list;
    CHECK(MgmGroupEnumerationStart(upstream, ALL_SOURCES, &list) == NO_ERROR);
    CHECK(MgmGroupEnumerationGetNext(list, &size, (PBYTE)rows, &count) == ERROR_NO_MORE_ITEMS);
    MgmGroupEnumerationEnd(list);
    return count;
}

/* Does a packet of 10.0.0.N go out to the hosts' link? */
static bool forwarded(int n)
{
    BYTE packet[28] = {0x45, 0, 0, 28, 0, 0, 0, 0, 16, 17, 0, 0, 10, 0, 0, (BYTE)n, 239, 1, 1, 1};
    DWORD record[64], size = sizeof record;
    PMIB_IPMCAST_MFE mfe = (PMIB_IPMCAST_MFE)record;
    put16(packet + 10, ip_checksum(packet, 20));
    CHECK(MgmHostReceive(2, 0, packet, sizeof packet) == NO_ERROR);
    CHECK(MgmHostDispatch(igmp_client.handle) == NO_ERROR);
    mfe->dwSource = get_address(packet + 12);
    mfe->dwGroup = group;
    CHECK(MgmGetMfe(mfe, &size, (PBYTE)record) == NO_ERROR);
    return mfe->ulNumOutIf == 1;
}

static void what_the_group_manager_is_told(void)
{
    groups_drop(l);
    CHECK(memberships() == 0);
    include();
    CHECK(memberships() == 2);
    CHECK(forwarded(1) && forwarded(2) && !forwarded(3));
    exclude(); /* by way of nothing */
    CHECK(memberships() == 3); /* (*,G), and 1 and 2 */
    CHECK(forwarded(1) && forwarded(2) && !forwarded(3) && forwarded(5) && !forwarded(4));
    record(ALLOW, "3");
    CHECK(forwarded(3)); /* the veto is lifted */
    timer_set(&source_find(group_find(l, group), ip("10.0.0.3"))->wanted, GMI);
    timer_clear(&source_find(group_find(l, group), ip("10.0.0.3"))->wanted);
    source_find(group_find(l, group), ip("10.0.0.3"))->wanted.run(source_find(group_find(l, group), ip("10.0.0.3")));
    CHECK(!forwarded(3));
    record(IS_EX, ""); /* 3 and 4 are not on the list any more */
    CHECK(forwarded(3) && forwarded(4));
    CHECK(memberships() == 1);
    groups_drop(l);
    CHECK(memberships() == 0);
    CHECK(!forwarded(1) && !forwarded(3));
}

static void a_routing_protocol_comes_and_goes(void)
{
    exclude();
    CHECK(MgmTakeInterfaceOwnership(upstream, 1, 0) == NO_ERROR);
    record(IS_IN, "5"); /* between the change of owner and the callbacks */
    CHECK(MgmHostDispatch(igmp_client.handle) == NO_ERROR);
    CHECK(memberships() == 4);
    CHECK(forwarded(1) && forwarded(5));
    CHECK(igmp_blocks(1, ip("10.0.0.3"), group) && !igmp_blocks(1, ip("10.0.0.1"), group));
    CHECK(!igmp_blocks(2, ip("10.0.0.3"), group));
    CHECK(MgmReleaseInterfaceOwnership(upstream, 1, 0) == NO_ERROR);
    CHECK(MgmHostDispatch(igmp_client.handle) == NO_ERROR);
    CHECK(memberships() == 4);
    CHECK(forwarded(5) && !forwarded(4));
    groups_drop(l);
}

static long log_when_told = -1;

static long size_of_log(void)
{
    struct stat file;
    return fstat(STDERR_FILENO, &file) == 0 ? (long)file.st_size : -1;
}

static DWORD note_log(DWORD source, DWORD source_mask, DWORD of, DWORD group_mask, BOOL member)
{
    (void)source, (void)source_mask, (void)of, (void)group_mask, (void)member;
    log_when_told = size_of_log();
    return NO_ERROR;
}

/* Whoever waits for the line sends packets then, and they find the membership. */
static void the_line_about_a_group_comes_when_the_group_manager_knows_it(void)
{
    ROUTING_PROTOCOL_CONFIG config = {.pfnJoinAlertCallback = note_log};
    FILE *file = tmpfile();
    int before = dup(STDERR_FILENO);
    HANDLE hears;
    CHECK(file != NULL && before >= 0 && dup2(fileno(file), STDERR_FILENO) == STDERR_FILENO);
    CHECK(MgmRegisterMProtocol(&config, PROTOCOL_ID(PROTO_TYPE_MCAST, 0x3fff, 2), 1, &hears) == NO_ERROR);
    groups_drop(l);
    log_level = LEVEL_DEBUG;
    record(IS_EX, "");
    log_level = LEVEL_OFF;
    CHECK(log_when_told == 0 && size_of_log() > 0);
    groups_drop(l);
    CHECK(MgmDeRegisterMProtocol(hears) == NO_ERROR);
    dup2(before, STDERR_FILENO);
    close(before);
    fclose(file);
}

int main(void)
{
    ROUTING_PROTOCOL_CONFIG config = {0};
    igmp_settings settings = igmp_defaults;
    iface *i;
    log_level = LEVEL_OFF;
    setenv("MGM_FORWARDER", "memory", 1);
    setenv("MGM_LOG", "off", 1);
    group = ip("239.1.1.1");
    settings.query_interval_ms = 100000;
    if ((i = iface_named("lan")) == NULL)
        return 1;
    i->index = 1;
    i->mtu = 1500;
    igmp_use(i, &settings);
    l = igmp_links;
    l->querier = true;
    client_start(&igmp_client);
    if (MgmRegisterMProtocol(&config, PROTOCOL_ID(PROTO_TYPE_MCAST, 0x3fff, 1), 1, &upstream) != NO_ERROR ||
        MgmTakeInterfaceOwnership(upstream, 2, 0) != NO_ERROR)
        return 1;
    l->queries = 0;

    RUN(codes_of_times);
    RUN(queries_are_read);
    RUN(reports_are_read_whole_or_not_at_all);
    RUN(in_include_mode);
    RUN(in_exclude_mode);
    RUN(nothing_comes_of_nothing);
    RUN(times_run_out);
    RUN(hosts_of_older_versions);
    RUN(fast_leave);
    RUN(a_listener_leaves_the_asking_to_the_querier);
    RUN(queries_are_repeated_as_often_as_is_set);
    RUN(older_versions_ask_less);
    RUN(a_query_of_another_router_only_lowers);
    RUN(many_groups_are_found_again);
    RUN(limits_and_the_access_list);
    RUN(what_the_group_manager_is_told);
    RUN(a_routing_protocol_comes_and_goes);
    RUN(the_line_about_a_group_comes_when_the_group_manager_knows_it);
    igmp_stop();
    return unit_end();
}
