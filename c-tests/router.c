/* router: forwards multicast between the interfaces given to hosts that ask for it with IGMP.
 *
 *     router [-q QUERY-INTERVAL-SECONDS] INTERFACE...
 *
 * Runs on the kernel forwarder unless MGM_FORWARDER says otherwise, so it needs CAP_NET_ADMIN and
 * CAP_NET_RAW in its network namespace. SIGUSR1 prints the forwarding table; SIGINT and SIGTERM
 * print it and end the router in order. Ends with status 1, naming the call, if any function of
 * libmgm gives another code than it should. */
#include "router.h"
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

router_interface interfaces[MAX_INTERFACES];
int interface_count;

void must(DWORD actual, DWORD expected, const char *call)
{
    if (actual == expected)
        return;
    printf("router: FAILED: %s\n  gave %s, expected %s\n", call, code_name(actual),
           code_name(expected));
    fflush(stdout);
    _exit(1); /* this may be a callback: no exit handlers */
}

void say(const char *who, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    printf("%s: %s\n", who, text); /* one call, so that lines of several threads do not mix */
}

const char *interface_name(DWORD index)
{
    int n;
    for (n = 0; n < interface_count; n++)
        if (interfaces[n].index == index)
            return interfaces[n].name;
    return "?";
}

const char *address_text(DWORD address)
{
    static __thread char texts[8][INET_ADDRSTRLEN];
    static __thread unsigned turn;
    char *text = texts[turn++ % 8];
    struct in_addr in;
    in.s_addr = address;
    if (address == 0)
        return "*";
    return inet_ntop(AF_INET, &in, text, INET_ADDRSTRLEN);
}

const char *entry_text(DWORD source, DWORD group)
{
    static __thread char texts[4][48];
    static __thread unsigned turn;
    char *text = texts[turn++ % 4];
    snprintf(text, sizeof texts[0], "(%s,%s)", address_text(source), address_text(group));
    return text;
}

uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- the forwarding table ------------------------------------------------------------------- */

static void print_record(const BYTE *record)
{
    MIB_IPMCAST_MFE_STATS mfe;
    DWORD n;
    memcpy(&mfe, record, SIZEOF_BASIC_MIB_MFE_STATS);
    printf("  %s in %s, upstream %s: %u packets, %u octets, %u on a wrong interface, "
           "up %u s, expires in %u s\n",
           entry_text(mfe.dwSource, mfe.dwGroup), interface_name(mfe.dwInIfIndex),
           address_text(mfe.dwUpStrmNgbr), (unsigned)mfe.ulInPkts, (unsigned)mfe.ulInOctets,
           (unsigned)mfe.ulPktsDifferentIf, (unsigned)mfe.ulUpTime / 100,
           (unsigned)mfe.ulExpiryTime / 100);
    if (mfe.ulNumOutIf == 0)
        printf("      out to nobody\n");
    for (n = 0; n < mfe.ulNumOutIf; n++) {
        MIB_IPMCAST_OIF_STATS oif;
        memcpy(&oif, record + SIZEOF_MIB_MFE_STATS(n), sizeof oif);
        printf("      out %s: %u packets\n", interface_name(oif.dwOutIfIndex),
               (unsigned)oif.ulOutPackets);
    }
}

/* Walks the table with a buffer that starts with no room at all and grows as it is told to. */
static void print_table(void)
{
    MIB_IPMCAST_MFE last;
    BYTE nothing[1], *buffer = NULL;
    DWORD room = 0, total = 0, n, code;
    int first = 1;

    printf("router: forwarding table\n");
    memset(&last, 0, sizeof last);
    do {
        DWORD size = room, count = 0;
        const BYTE *at = buffer;
        PBYTE to = buffer ? buffer : nothing;
        code = first ? MgmGetFirstMfeStats(&size, to, &count, MGM_MFE_STATS_0)
                     : MgmGetNextMfeStats(&last, &size, to, &count, MGM_MFE_STATS_0);
        if (code == ERROR_INSUFFICIENT_BUFFER) {
            BYTE *larger;
            must(size > room ? NO_ERROR : code, NO_ERROR, "a size larger than what was too small");
            larger = (BYTE *)realloc(buffer, size);
            must(larger != NULL ? NO_ERROR : ERROR_NOT_ENOUGH_MEMORY, NO_ERROR, "realloc");
            buffer = larger;
            room = size;
            continue;
        }
        must(code == ERROR_MORE_DATA ? ERROR_NO_MORE_ITEMS : code, ERROR_NO_MORE_ITEMS,
             first ? "MgmGetFirstMfeStats" : "MgmGetNextMfeStats");
        for (n = 0; n < count; n++) {
            MIB_IPMCAST_MFE_STATS mfe;
            memcpy(&mfe, at, SIZEOF_BASIC_MIB_MFE_STATS);
            print_record(at);
            at += SIZEOF_MIB_MFE_STATS(mfe.ulNumOutIf);
            last.dwSource = mfe.dwSource;
            last.dwSrcMask = mfe.dwSrcMask;
            last.dwGroup = mfe.dwGroup;
        }
        if (count > 0)
            first = 0;
        total += count;
    } while (code != ERROR_NO_MORE_ITEMS);
    free(buffer);
    printf("router: %u entries\n", (unsigned)total);
    fflush(stdout);
}

/* ---- the process ------------------------------------------------------------------------------ */

static void usage(void)
{
    fprintf(stderr, "usage: router [-q QUERY-INTERVAL-SECONDS] INTERFACE...\n");
    exit(2);
}

static unsigned read_options(int argc, char **argv)
{
    unsigned query_interval = 125; /* RFC 3376, 8.2 */
    int option;
    while ((option = getopt(argc, argv, "q:")) != -1) {
        if (option != 'q' || (query_interval = (unsigned)strtoul(optarg, NULL, 10)) == 0 ||
            query_interval > 3600)
            usage();
    }
    if (optind == argc || argc - optind > MAX_INTERFACES)
        usage();
    for (; optind < argc; optind++) {
        router_interface *i = &interfaces[interface_count];
        i->index = if_nametoindex(argv[optind]);
        if (i->index == 0 || strlen(argv[optind]) >= sizeof i->name) {
            fprintf(stderr, "router: %s: %s\n", argv[optind], strerror(errno));
            exit(2);
        }
        strcpy(i->name, argv[optind]);
        interface_count++;
    }
    return query_interval;
}

int main(int argc, char **argv)
{
    unsigned query_interval = read_options(argc, argv);
    struct pollfd waits[2];
    sigset_t signals;
    int ending = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    setenv("MGM_FORWARDER", "kernel", 0);

    /* Blocked before the library starts its threads, so that all signals come to the signalfd. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    waits[0].fd = signalfd(-1, &signals, SFD_CLOEXEC);
    waits[0].events = POLLIN;
    if (waits[0].fd < 0) {
        perror("router: signalfd");
        return 1;
    }

    /* IGMP first, as on Windows; the routing protocol then takes the interfaces over. */
    igmp_start(query_interval);
    protocol_start();
    waits[1].fd = igmp_socket();
    waits[1].events = POLLIN;
    say("router", "ready");

    while (!ending) {
        if (poll(waits, 2, igmp_tick()) < 0 && errno != EINTR) {
            perror("router: poll");
            return 1;
        }
        if (waits[1].revents != 0)
            igmp_read();
        if (waits[0].revents != 0) {
            struct signalfd_siginfo got;
            if (read(waits[0].fd, &got, sizeof got) == (ssize_t)sizeof got) {
                print_table();
                ending = got.ssi_signo != SIGUSR1;
            }
        }
    }

    protocol_stop();
    igmp_stop();
    say("router", "ended in order");
    return 0;
}
