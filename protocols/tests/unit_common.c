/* What common/ does without a network. Ends with "N passed, N failed". */
#include "../common/log.h"
#include "../common/loop.h"
#include "../common/net.h"
#include "../common/options.h"
#include "unit.h"
#include <stdlib.h>

/* ---- timers ---- */

enum { TIMERS = 500 };
static timer timers[TIMERS];
static int ran[TIMERS];
static uint64_t last_due;
static int out_of_order, runs;

static void timer_ran(void *with)
{
    timer *t = with;
    ran[t - timers]++;
    runs++;
    out_of_order += t->due < last_due;
    last_due = t->due;
}

static void loop_ends(void *with)
{
    (void)with;
    loop_end(7);
}

static void timers_run_in_order_and_once(void)
{
    timer end;
    int expected = 0;
    srand(1);
    for (int n = 0; n < TIMERS; n++)
        timer_init(&timers[n], timer_ran, &timers[n]);
    for (int n = 0; n < 20 * TIMERS; n++) { /* set, set anew and cleared at random */
        timer *t = &timers[rand() % TIMERS];
        if (rand() % 3 == 0)
            timer_clear(t);
        else
            timer_set(t, (uint64_t)(rand() % 50));
    }
    for (int n = 0; n < TIMERS; n++)
        expected += timers[n].set;
    timer_init(&end, loop_ends, NULL);
    timer_set(&end, 100);
    CHECK(loop_run() == 7);
    CHECK(runs == expected);
    CHECK(out_of_order == 0);
    for (int n = 0; n < TIMERS; n++)
        CHECK(!timers[n].set && ran[n] <= 1);
}

static int again;
static void sets_itself(void *with)
{
    if (++again == 3)
        loop_end(3);
    timer_set(with, 1);
}

static void a_timer_may_set_itself(void)
{
    timer t, end;
    timer_init(&t, sets_itself, &t);
    timer_init(&end, loop_ends, NULL);
    timer_set(&t, 0);
    timer_set(&end, 20000);
    CHECK(timer_left(&end) > 0 && timer_left(&end) <= 20000);
    CHECK(loop_run() == 3);
    CHECK(again == 3);
    timer_clear(&end);
    timer_clear(&t);
    CHECK(timer_left(&t) == 0);
}

/* ---- packets ---- */

/* IPv4 from 10.0.0.1 to 239.1.1.1 with router alert: 24 + 8 octets, TTL 1, IGMP. */
static const uint8_t sound[32] = {0x46, 0xc0, 0, 32, 0, 0, 0x40, 0, 1, 2, 0, 0, 10, 0, 0, 1, 239, 1, 1, 1, 148, 4, 0, 0,
                                  1, 2, 3, 4, 5, 6, 7, 8};

static const char *parsed(const uint8_t *from, size_t length, size_t at, uint8_t octet, ip_packet *packet)
{
    uint8_t octets[64] = {0};
    size_t header;
    memcpy(octets, from, 32);
    if (at < 32)
        octets[at] = octet;
    header = 4 * (size_t)(octets[0] & 15);
    put16(octets + 10, 0);
    put16(octets + 10, ip_checksum(octets, header < 20 || header > 60 ? 20 : header));
    if (at == 10)
        octets[10] ^= octet;
    return ip_parse(octets, length, packet);
}

static void ip_headers_are_checked(void)
{
    ip_packet p;
    CHECK(parsed(sound, 32, 99, 0, &p) == NULL);
    CHECK(p.source == get_address(sound + 12) && p.destination == get_address(sound + 16));
    CHECK(p.router_alert && p.ttl == 1 && p.protocol == 2 && p.tos == 0xc0 && p.size == 8 && p.header_size == 24);
    CHECK(parsed(sound, 46, 99, 0, &p) == NULL && p.size == 8); /* a frame that was filled up */
    CHECK(parsed(sound, 32, 20, 1, &p) != NULL); /* a shifted option: length 0 follows */
    CHECK(parsed(sound, 32, 21, 1, &p) != NULL); /* an option of one octet */
    CHECK(parsed(sound, 32, 21, 5, &p) != NULL); /* one that does not fit */
    CHECK(parsed(sound, 32, 20, 0, &p) == NULL && !p.router_alert);
    CHECK(parsed(sound, 19, 99, 0, &p) != NULL);
    CHECK(parsed(sound, 31, 99, 0, &p) != NULL);
    CHECK(parsed(sound, 32, 0, 0x66, &p) != NULL);
    CHECK(parsed(sound, 32, 0, 0x44, &p) != NULL);
    CHECK(parsed(sound, 32, 0, 0x4f, &p) != NULL);
    CHECK(parsed(sound, 32, 10, 1, &p) != NULL);
    CHECK(parsed(sound, 32, 3, 23, &p) != NULL);
    CHECK(parsed(sound, 32, 3, 33, &p) != NULL);
    CHECK(parsed(sound, 32, 6, 0x20, &p) != NULL);
    CHECK(parsed(sound, 32, 7, 1, &p) != NULL);
}

static void checksums(void)
{
    static const uint8_t example[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}; /* RFC 1071 section 3 */
    CHECK(ip_checksum(example, 8) == (uint16_t)~0xddf2);
    CHECK(ip_checksum(example, 7) == (uint16_t)~0xdcfb);
    CHECK(ip_checksum(example, 0) == 0xffff);
}

static uint32_t ip(const char *text)
{
    uint32_t address = 0;
    CHECK(parse_address(text, &address));
    return address;
}

static void addresses_are_told_apart(void)
{
    CHECK(is_multicast(ip("224.0.0.1")) && is_multicast(ip("239.255.255.255")));
    CHECK(!is_multicast(ip("223.255.255.255")) && !is_multicast(ip("240.0.0.0")));
    CHECK(is_link_local_group(ip("224.0.0.255")) && !is_link_local_group(ip("224.0.1.0")));
    CHECK(is_host_address(ip("10.0.0.1")) && !is_host_address(ip("0.0.0.0")) && !is_host_address(ip("127.0.0.1")));
    CHECK(!is_host_address(ip("224.0.0.1")) && !is_host_address(ip("255.255.255.255")));
}

static void what_is_on_the_link(void)
{
    iface i = {.net_count = 1};
    i.nets[0] = (iface_net){ip("10.1.0.1"), ip("10.1.0.0"), ip("255.255.0.0")};
    CHECK(iface_on_link(&i, ip("10.1.200.3")) && !iface_on_link(&i, ip("10.2.0.1")));
    CHECK(iface_owns(&i, ip("10.1.0.1")) && !iface_owns(&i, ip("10.1.0.2")));
    i.net_count = 0;
    CHECK(iface_on_link(&i, ip("10.2.0.1")) && !iface_owns(&i, ip("10.1.0.1")));
}

/* ---- options ---- */

static void the_first_prefix_that_fits_counts(void)
{
    prefix_rule *list = NULL;
    uint32_t network, mask;
    prefix_add(&list, "239.1.1.1", true);
    prefix_add(&list, "239.1.0.0/16", false);
    prefix_add(&list, "239.0.0.0/8", true);
    CHECK(prefix_permits(list, ip("239.1.1.1"), false) && !prefix_permits(list, ip("239.1.1.2"), true));
    CHECK(prefix_permits(list, ip("239.2.1.2"), false) && !prefix_permits(list, ip("238.1.1.1"), false));
    CHECK(prefix_permits(NULL, ip("238.1.1.1"), true));
    CHECK(parse_prefix("0.0.0.0/0", &network, &mask) && mask == 0);
    CHECK(!parse_prefix("239.1.1.1/8", &network, &mask) && !parse_prefix("239.0.0.0/33", &network, &mask));
    CHECK(!parse_prefix("239.0.0.0/", &network, &mask) && !parse_prefix("239.0.0/8", &network, &mask));
    CHECK(!parse_prefix("1239.100.100.100/8", &network, &mask) && !parse_prefix("", &network, &mask));
}

static void numbers(void)
{
    unsigned n = 5;
    CHECK(parse_number("17", 1, 17, &n) && n == 17);
    CHECK(!parse_number("18", 1, 17, &n) && !parse_number("0", 1, 17, &n) && !parse_number("", 0, 17, &n));
    CHECK(!parse_number("-1", 0, 17, &n) && !parse_number("1x", 0, 17, &n) && !parse_number(" 1", 0, 17, &n));
    CHECK(!parse_number("99999999999999999999", 0, 0xffffffff, &n) && n == 17);
}

static void words_of_the_command_line_and_of_files(void)
{
    char path[] = "/tmp/mgm-unit.XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    options o;
    char *argv[] = {"program", "--one=1", "--config", path, "last", "--three", "3"};
    CHECK(file != NULL && fputs("# a comment\n--two 2 eth0 # another\n\neth1", file) >= 0 && fclose(file) == 0);
    options_begin(&o, 7, argv);
    unlink(path);
    CHECK(options_next(&o) && strcmp(o.name, "one") == 0 && options_number(&o, 1, 9) == 1);
    CHECK(options_next(&o) && strcmp(o.name, "two") == 0 && options_number(&o, 1, 9) == 2);
    CHECK(options_next(&o) && o.name == NULL && strcmp(o.word, "eth0") == 0);
    CHECK(options_next(&o) && o.name == NULL && strcmp(o.word, "eth1") == 0);
    CHECK(options_next(&o) && o.name == NULL && strcmp(o.word, "last") == 0);
    CHECK(options_next(&o) && strcmp(o.name, "three") == 0 && strcmp(options_value(&o), "3") == 0);
    CHECK(!options_next(&o));
}

/* What makes no sense when a file is read anew does not end the program. */
static void mistakes_when_read_again(void)
{
    static const char *const wrong[][3] = {
        {"--three", "x", "--three x: a number from 1 to 9"}, {"eth0", "--three", "--three needs a value"}, {"--", "eth0", "no option: --"},
        {"eth0", "--config", "--config needs a file"}, {"--config", "/nowhere/at/all", "/nowhere/at/all: No such file"},
    };
    for (unsigned n = 0; n < sizeof wrong / sizeof *wrong; n++) {
        char one[20], two[20], *argv[] = {"program", one, two};
        unsigned seen = 0;
        options o;
        strcpy(one, wrong[n][0]);
        strcpy(two, wrong[n][1]);
        options_again(&o, 3, argv);
        while (options_next(&o)) {
            seen++;
            if (o.name != NULL)
                CHECK(options_number(&o, 1, 9) == 1);
        }
        CHECK(seen <= 2 && !options_next(&o));
        CHECK(strncmp(o.mistake, wrong[n][2], strlen(wrong[n][2])) == 0);
        options_end(&o);
    }
}

int main(void)
{
    log_level = LEVEL_ERROR;
    RUN(timers_run_in_order_and_once);
    RUN(a_timer_may_set_itself);
    RUN(ip_headers_are_checked);
    RUN(checksums);
    RUN(addresses_are_told_apart);
    RUN(what_is_on_the_link);
    RUN(the_first_prefix_that_fits_counts);
    RUN(numbers);
    RUN(words_of_the_command_line_and_of_files);
    RUN(mistakes_when_read_again);
    return unit_end();
}
