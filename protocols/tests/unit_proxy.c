/* The proxy without a network: what the host side reports (RFC 3376 sections 5 and 7.2), and how wants are merged (RFC 4605).
 * Ends with "N passed, N failed". */
#include "../common/log.h"
#include "../common/net.h"
#include "../common/options.h"
#include "../proxy/host.h"
#include "../proxy/wants.h"
#include "sim_clock.h"
#include "unit.h"
#include <arpa/inet.h>

void loop_watch(int fd, void (*ready)(void *with, short events), void *with) { (void)fd, (void)ready, (void)with; }
void loop_unwatch(int fd) { (void)fd; }

static char said[8192]; /* the records and messages that were sent: "TO_EX G" and so on, with a space behind each */
static unsigned packets, longest, sources_sent, records;
static uint32_t sum; /* of the sources' last two octets */

static uint32_t ip(const char *text)
{
    uint32_t address = 0;
    CHECK(parse_address(text, &address));
    return address;
}

static void say(const char *word, uint32_t group, const uint8_t *sources, unsigned count)
{
    size_t at = strlen(said);
    if (at + 100 > sizeof said)
        return;
    at += (size_t)sprintf(said + at, "%s %u", word, sources == NULL && count ? 0 : ((const uint8_t *)&group)[3]);
    for (unsigned n = 0; n < count && at + 20 < sizeof said; n++)
        at += (size_t)sprintf(said + at, "%c%u", n ? ',' : '/', sources[4 * n + 3]);
    strcat(said, " ");
}

static bool sent(int fd, const iface *i, uint32_t source, uint32_t to, const uint8_t *data, size_t size)
{
    static const char *const types[] = {"", "IS_IN", "IS_EX", "TO_IN", "TO_EX", "ALLOW", "BLOCK"};
    igmp_message m;
    igmp_record r;
    (void)fd, (void)i, (void)source;
    packets++;
    if (size > longest)
        longest = (unsigned)size;
    CHECK(igmp_parse(data, size, &m) == NULL);
    if (m.type == IGMP_V3_REPORT) {
        CHECK(to == ip("224.0.0.22"));
        while (igmp_next_record(&m, &r)) {
            say(types[r.type], r.group, r.sources, r.count);
            sources_sent += r.count;
            records++;
            for (unsigned n = 0; n < r.count; n++)
                sum += get16(r.sources + 4 * n + 2);
        }
    } else {
        CHECK(to == (m.type == IGMP_V2_LEAVE ? ip("224.0.0.2") : m.group));
        say(m.type == IGMP_V2_LEAVE ? "LEAVE" : m.type == IGMP_V2_REPORT ? "V2" : "V1", m.group, NULL, 0);
    }
    return true;
}

/* Until nothing more is said. */
static void quiet(void)
{
    size_t length;
    unsigned before;
    do {
        length = strlen(said), before = packets;
        sim_run(60);
    } while (strlen(said) != length || packets != before);
}

static void said_is(const char *expected, int line)
{
    quiet();
    if (strcmp(said, expected) != 0) {
        printf("    line %d: \"%s\" instead of \"%s\"\n", line, said, expected);
        unit_wrong++;
    }
    said[0] = 0;
}
#define SAID(expected) said_is(expected, __LINE__)

static void want(const char *group, bool any, const char *digits)
{
    uint32_t sources[16];
    unsigned count = 0;
    for (; *digits != 0; digits++) {
        char address[16];
        sprintf(address, "10.0.0.%c", *digits);
        sources[count++] = ip(address);
    }
    host_want(ip(group), any, sources, count);
}

static void query(unsigned version, const char *group, const char *digits)
{
    uint8_t sources[64];
    igmp_message m = {.type = IGMP_QUERY, .version = version, .group = ip(group), .max_response_ms = 20, .sources = sources};
    for (; *digits != 0; digits++) {
        char address[16];
        sprintf(address, "10.0.0.%c", *digits);
        put_address(sources + 4 * m.count++, ip(address));
    }
    host_heard(&m);
}

/* ---- the host side ---- */

static void changes_are_reported_twice(void)
{
    want("239.1.1.1", true, ""), SAID("TO_EX 1 TO_EX 1 ");
    want("239.1.1.1", true, ""), SAID("");
    want("239.1.1.1", false, "2"), SAID("TO_IN 1/2 TO_IN 1/2 ");
    want("239.1.1.1", false, "23"), SAID("ALLOW 1/3 ALLOW 1/3 ");
    want("239.1.1.1", false, "3"), SAID("BLOCK 1/2 BLOCK 1/2 ");
    want("239.1.1.1", false, "4"), SAID("ALLOW 1/4 BLOCK 1/3 ALLOW 1/4 BLOCK 1/3 ");
    want("239.1.1.1", true, "4"), SAID("TO_EX 1 TO_EX 1 ");
    want("239.1.1.1", false, ""), SAID("TO_IN 1 TO_IN 1 ");
    want("239.1.1.2", false, "1"), SAID("ALLOW 2/1 ALLOW 2/1 ");
    want("239.1.1.2", false, ""), SAID("BLOCK 2/1 BLOCK 2/1 ");
}

static void what_changes_at_once_is_said_at_once(void)
{
    unsigned before = packets;
    want("239.1.1.1", true, ""), want("239.1.1.1", false, ""), want("239.1.1.1", true, "");
    for (int n = 3; n < 9; n++) {
        char group[16];
        sprintf(group, "239.1.1.%d", n);
        want(group, true, "");
    }
    quiet();
    CHECK(packets == before + 2);
    said[0] = 0;
    for (int n = 1; n < 9; n++) {
        char group[16];
        sprintf(group, "239.1.1.%d", n);
        want(group, false, "");
    }
    quiet();
    said[0] = 0;
}

static void queries_are_answered(void)
{
    want("239.1.1.1", true, ""), want("239.1.1.2", false, "12");
    quiet(), said[0] = 0;
    query(3, "239.1.1.1", ""), SAID("IS_EX 1 ");
    query(3, "239.1.1.2", "");
    quiet();
    CHECK(strcmp(said, "IS_IN 2/1,2 ") == 0 || strcmp(said, "IS_IN 2/2,1 ") == 0);
    said[0] = 0;
    query(3, "239.1.1.2", "23"), SAID("IS_IN 2/2 ");
    query(3, "239.1.1.2", "3"), SAID("");
    query(3, "239.1.1.9", ""), SAID("");
    query(3, "0.0.0.0", "");
    quiet();
    CHECK(strstr(said, "IS_EX 1 ") != NULL && strstr(said, "IS_IN 2/") != NULL);
    said[0] = 0;
    want("239.1.1.1", false, ""), want("239.1.1.2", false, "");
    quiet(), said[0] = 0;
    query(3, "0.0.0.0", ""), SAID("");
}

static void records_fill_packets_and_no_more(void)
{
    unsigned before;
    for (unsigned n = 0; n < 1000; n++)
        host_want(htonl(0xef020000 + n), true, NULL, 0);
    quiet();
    before = packets, longest = 0;
    query(3, "0.0.0.0", "");
    quiet();
    CHECK(packets - before == 6 && longest <= 1476); /* 183 records each */
    for (unsigned n = 0; n < 1000; n++)
        host_want(htonl(0xef020000 + n), false, NULL, 0);
    quiet(), said[0] = 0;
}

/* A record does not fit into a packet: its list is divided. */
static void a_long_list_is_divided(void)
{
    uint32_t sources[800];
    for (uint32_t n = 0; n < 800; n++)
        sources[n] = htonl(0x0a010001u + n);
    quiet();
    packets = longest = sources_sent = 0, sum = 0;
    host_want(ip("232.1.1.9"), false, sources, 800);
    quiet();
    CHECK(sources_sent == 2 * 800 && packets == 2 * 3 && longest <= 1500 - 24);
    CHECK(sum == 2 * 800 * 801 / 2); /* each of them */
    host_want(ip("232.1.1.9"), false, NULL, 0);
    quiet();
    said[0] = 0;
}

static void a_link_that_comes_back_is_told_everything(iface *i)
{
    want("239.1.1.1", true, ""), SAID("TO_EX 1 TO_EX 1 ");
    i->up = false, host_changed();
    want("239.1.1.2", true, ""), SAID("");
    i->up = true, host_changed();
    quiet();
    CHECK(strstr(said, "TO_EX 1 ") != NULL && strstr(said, "TO_EX 2 ") != NULL);
    said[0] = 0;
    want("239.1.1.1", false, ""), want("239.1.1.2", false, "");
    quiet(), said[0] = 0;
}

static void older_queriers(void)
{
    want("239.1.1.1", false, "12"), quiet(), said[0] = 0;
    query(2, "0.0.0.0", ""), SAID("V2 1 ");
    query(2, "239.1.1.1", ""), SAID("V2 1 ");
    want("239.1.1.2", true, ""), SAID("V2 2 V2 2 ");
    want("239.1.1.2", false, ""), SAID("LEAVE 2 ");
    query(1, "0.0.0.0", ""), SAID("V1 1 ");
    want("239.1.1.1", false, ""), SAID("");
}

/* The time of an older querier runs out: robustness times 125 s and its response time (RFC 3376 section 8.12). */
static void older_queriers_are_forgotten(void)
{
    want("239.1.1.1", true, ""), quiet();
    query(1, "0.0.0.0", ""), quiet(), said[0] = 0;
    sim_run(100000);
    query(2, "239.1.1.9", ""), said[0] = 0; /* of version 1 until 250 s after the first one */
    sim_run(149000);
    query(3, "0.0.0.0", ""), SAID("V1 1 ");
    sim_run(1000);
    query(3, "0.0.0.0", ""), SAID("V2 1 ");
    sim_run(99000);
    query(3, "0.0.0.0", ""), SAID("V2 1 ");
    sim_run(1000);
    query(3, "0.0.0.0", ""), SAID("IS_EX 1 ");
    want("239.1.1.1", false, ""), quiet(), said[0] = 0;
}

/* Settings that change while it runs. */
static void other_settings(void)
{
    host_settings before = host_settings_used, now = before;
    now.robustness = 3;
    host_set(&now);
    want("239.1.1.1", true, ""), SAID("TO_EX 1 TO_EX 1 TO_EX 1 ");
    now.version = 2;
    host_set(&now);
    query(3, "0.0.0.0", ""), SAID("V2 1 ");
    want("239.1.1.2", true, "");
    now.version = 3;
    host_set(&now); /* what waits to be sent is sent in the new version */
    SAID("TO_EX 2 TO_EX 2 TO_EX 2 ");
    host_set(&before);
    want("239.1.1.2", false, ""), SAID("TO_IN 2 TO_IN 2 ");
    want("239.1.1.1", false, ""), quiet(), said[0] = 0;
}

static void another_host_s_answer_is_enough_in_version_2(void)
{
    igmp_message report = {.type = IGMP_V2_REPORT, .group = ip("239.1.1.1")};
    want("239.1.1.1", true, ""), quiet(), said[0] = 0;
    query(2, "239.1.1.1", "");
    host_heard(&report), SAID("");
    want("239.1.1.1", false, ""), quiet(), said[0] = 0;
}

/* ---- wants ---- */

/* So many that all tables grow, and each is found again. */
static void many_wants(void)
{
    enum { GROUPS = 300, SOURCES = 200 };
    uint32_t g = ip("239.1.1.1");
    quiet(), records = 0;
    for (unsigned turn = 0; turn < 4; turn++) {
        for (unsigned n = 0; n < GROUPS; n++)
            wants_local(turn % 2, 0, htonl(0xef030000u + n), turn < 2);
        quiet();
        CHECK(records == (turn == 0 ? 2 * GROUPS : 0)); /* the last of the two slots gives them up */
        if (turn == 2)
            break;
        records = 0;
    }
    for (unsigned n = 0; n < GROUPS; n += 2)
        wants_local(1, 0, htonl(0xef030000u + n), false);
    quiet();
    CHECK(records == GROUPS);
    wants_no_slot(1), quiet();
    CHECK(records == 2 * GROUPS);
    for (unsigned n = 0; n < SOURCES; n++)
        wants_local(0, htonl(0x0a020000u + n), g, true);
    quiet(), sources_sent = 0;
    query(3, "239.1.1.1", ""), quiet();
    CHECK(sources_sent == SOURCES);
    for (unsigned n = 0; n < SOURCES - 1; n++)
        wants_local(0, htonl(0x0a020000u + n), g, false);
    quiet(), sources_sent = 0;
    query(3, "239.1.1.1", ""), quiet();
    CHECK(sources_sent == 1);
    wants_local(0, htonl(0x0a020000u + SOURCES - 1), g, false);
    quiet(), said[0] = 0;
    query(3, "0.0.0.0", ""), SAID("");
}

static bool nothing_is_listed(uint32_t source, uint32_t group)
{
    (void)source, (void)group;
    return false;
}

static void wants_are_merged(void)
{
    uint32_t g = ip("239.1.1.1"), s = ip("10.0.0.7");
    wants_local(0, s, g, true), SAID("ALLOW 1/7 ALLOW 1/7 ");
    wants_local(1, s, g, true), SAID("");
    wants_local(1, s, g, false), SAID("");
    wants_local(1, s, g, true), SAID("");
    wants_local(0, s, g, false), SAID("");
    wants_local(1, 0, g, true), SAID("TO_EX 1 TO_EX 1 ");
    wants_others(0, g, true, true), SAID("");
    wants_local(1, 0, g, false), SAID("");
    wants_others(0, g, false, true), SAID("TO_IN 1/7 TO_IN 1/7 ");
    wants_local(0, 0, g, false), SAID(""); /* was not there */
    wants_no_slot(0), SAID("");
    wants_no_slot(1), SAID("BLOCK 1/7 BLOCK 1/7 ");
}

static void what_was_read_from_the_list_is_looked_at_again(void)
{
    uint32_t g = ip("239.1.1.1");
    wants_others(0, g, true, false), SAID("TO_EX 1 TO_EX 1 ");
    CHECK(wants_uncertain());
    wants_check(nothing_is_listed), SAID("TO_IN 1 TO_IN 1 ");
    wants_others(0, g, true, false), wants_others(0, g, true, true);
    CHECK(!wants_uncertain());
    quiet(), said[0] = 0;
    wants_check(nothing_is_listed), SAID("");
    wants_hold(true), wants_no_others(), SAID("");
    wants_hold(false), SAID("TO_IN 1 TO_IN 1 ");
    CHECK(!wants_uncertain());
}

static iface *up;
static void a_link_that_comes_back(void) { a_link_that_comes_back_is_told_everything(up); }

int main(void)
{
    log_level = LEVEL_OFF;
    host_settings_used.unsolicited_interval_ms = 20;
    up = iface_named("uplink");
    up->index = 1;
    up->up = true;
    up->mtu = 1500;
    up->address = ip("10.9.0.2");
    host_start(up, -1, sent);
    RUN(changes_are_reported_twice);
    RUN(what_changes_at_once_is_said_at_once);
    RUN(queries_are_answered);
    RUN(records_fill_packets_and_no_more);
    RUN(a_long_list_is_divided);
    RUN(a_link_that_comes_back);
    RUN(wants_are_merged);
    RUN(many_wants);
    RUN(what_was_read_from_the_list_is_looked_at_again);
    RUN(other_settings);
    RUN(older_queriers);
    RUN(another_host_s_answer_is_enough_in_version_2);
    sim_run(1000000);
    RUN(older_queriers_are_forgotten);
    return unit_end();
}
