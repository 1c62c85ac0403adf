/* router: forwards multicast between the interfaces given to hosts that ask for it with IGMP.
 *
 *     router [-q QUERY-INTERVAL-SECONDS] [-o igmp|protocol] INTERFACE...
 *
 * Runs on the kernel forwarder unless MGM_FORWARDER says otherwise, so it needs CAP_NET_ADMIN and
 * CAP_NET_RAW in its network namespace. With -o it is one of the two clients alone, and MGM_HOST names
 * the host's socket: it waits for the host where there is none, and when the host has gone. SIGUSR1 prints the forwarding table; SIGINT and SIGTERM
 * print it and end the router in order. Ends with status 1, naming the call, if any function of
 * libmgm gives another code than it should. */
#include "router.h"
#include "mgm_host.h"
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static int with_igmp = 1, with_protocol = 1;

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
    } while (code != ERROR_NO_MORE_ITEMS && !host_gone);
    free(buffer);
    printf("router: %u entries\n", (unsigned)total);
    fflush(stdout);
}

/* ---- the process ------------------------------------------------------------------------------ */

static void usage(void)
{
    fprintf(stderr, "usage: router [-q QUERY-INTERVAL-SECONDS] [-o igmp|protocol] INTERFACE...\n");
    exit(2);
}

static unsigned read_options(int argc, char **argv)
{
    unsigned query_interval = 125; /* RFC 3376, 8.2 */
    int option;
    while ((option = getopt(argc, argv, "q:o:")) != -1) {
        if (option == 'o') {
            apart = 1;
            with_igmp = strcmp(optarg, "igmp") == 0;
            with_protocol = strcmp(optarg, "protocol") == 0;
            if (!with_igmp && !with_protocol)
                usage();
        } else if (option != 'q' || (query_interval = (unsigned)strtoul(optarg, NULL, 10)) == 0 ||
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

/* Both clients in this process: IGMP first, as on Windows; the routing protocol then takes the
 * interfaces over. */
static void start_both(void)
{
    MUST(igmp_register());
    MUST(protocol_register());
    host_gone = 0;
}

static HANDLE client(void) { return with_igmp ? igmp_handle() : protocol_handle(); }

/* The one client of this process registers, if the host is there. Gives the descriptor that is readable
 * while callbacks wait for the client, or -1. */
static int start_one(void)
{
    int fd = -1;
    DWORD code;
    host_gone = 0;
    code = with_igmp ? igmp_register() : protocol_register();
    if (code == ERROR_CAN_NOT_COMPLETE || code == ERROR_ALREADY_EXISTS) {
        host_gone = 1; /* there is no host, or it has not seen yet that the process before this one ended */
        return -1;
    }
    MUST(code);
    MUST(MgmHostGetClientFd(client(), &fd));
    return host_gone ? -1 : fd;
}

int main(int argc, char **argv)
{
    unsigned query_interval = read_options(argc, argv);
    struct pollfd waits[3];
    sigset_t signals;
    int ending = 0, ready = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!apart)
        setenv("MGM_FORWARDER", "kernel", 0);

    /* Blocked before the library starts its threads, so that all signals come to the signalfd. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    waits[0].fd = signalfd(-1, &signals, SFD_CLOEXEC);
    if (waits[0].fd < 0) {
        perror("router: signalfd");
        return 1;
    }
    waits[1].fd = waits[2].fd = -1; /* poll passes over it */
    waits[0].events = waits[1].events = waits[2].events = POLLIN;

    if (!apart)
        start_both();
    if (with_igmp) {
        igmp_open(query_interval);
        waits[1].fd = igmp_socket();
    }
    while (!ending) {
        int timeout = -1;
        if (host_gone)
            waits[2].fd = start_one();
        if (host_gone)
            timeout = 100; /* milliseconds until the next try */
        else if (with_igmp)
            timeout = igmp_tick();
        if (!host_gone && !ready)
            say("router", "%sready", !apart ? "" : with_igmp ? "igmp " : "protocol ");
        ready = !host_gone;
        if (poll(waits, 3, timeout) < 0 && errno != EINTR) {
            perror("router: poll");
            return 1;
        }
        if (waits[2].revents != 0)
            MUST(MgmHostDispatch(client()));
        if (waits[1].revents != 0)
            igmp_read();
        if (waits[0].revents != 0) {
            struct signalfd_siginfo got;
            if (read(waits[0].fd, &got, sizeof got) == (ssize_t)sizeof got) {
                if (with_protocol)
                    print_table();
                ending = got.ssi_signo != SIGUSR1;
            }
        }
    }

    if (with_protocol)
        protocol_stop();
    if (with_igmp)
        igmp_stop();
    say("router", "ended in order");
    return 0;
}
