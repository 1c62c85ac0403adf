/* A small multicast routing daemon on mgm.h: each stream of the wanted groups goes from the interface toward its source to
 * all others. port_mrt.c is the same daemon on Linux's multicast routing socket; docs/PORTING.md goes through both.
 *
 *     port_mgm GROUPS/LENGTH INTERFACE...
 *
 * SIGUSR1 prints the entries, SIGTERM ends it. */
#include <arpa/inet.h>
#include <errno.h>
#include <mgm.h>
#include <mgm_host.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { MOST_INTERFACES = 32 };

static in_addr_t wanted, wanted_mask; /* network byte order */
static unsigned interfaces[MOST_INTERFACES];
static int interface_count;
static HANDLE manager;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static const char *text(in_addr_t address)
{
    struct in_addr in;
    in.s_addr = address;
    return inet_ntoa(in);
}

static const char *name_of(unsigned index)
{
    static char name[IF_NAMESIZE];
    return if_indextoname(index, name) ? name : "?";
}

static void tell(const char *what, in_addr_t source, in_addr_t group, unsigned index)
{
    printf("%s %s", what, text(source));
    printf(" %s %s\n", text(group), name_of(index));
    fflush(stdout);
}

/* ---- the group manager ------------------------------------------------------------------------------ */

static void must(DWORD code, const char *call)
{
    if (code != NO_ERROR) {
        fprintf(stderr, "%s gave %u\n", call, (unsigned)code); /* the library's log says why */
        exit(1);
    }
}

static void start_plane(const ROUTING_PROTOCOL_CONFIG *callbacks)
{
    int n;
    if (getenv("MGM_HOST") == NULL)
        setenv("MGM_FORWARDER", "kernel", 0);
    must(MgmRegisterMProtocol((PROUTING_PROTOCOL_CONFIG)callbacks, PROTOCOL_ID(PROTO_TYPE_MCAST, 0x3fff, 8), 1, &manager),
         "MgmRegisterMProtocol");
    for (n = 0; n < interface_count; n++) {
        must(MgmTakeInterfaceOwnership(manager, interfaces[n], 0), "MgmTakeInterfaceOwnership");
        must(MgmAddGroupMembershipEntry(manager, 0, 0, 0, 0, interfaces[n], 0, MGM_JOIN_STATE_FLAG),
             "MgmAddGroupMembershipEntry");
    }
}

static void end_plane(void)
{
    int n;
    for (n = 0; n < interface_count; n++)
        MgmReleaseInterfaceOwnership(manager, interfaces[n], 0);
    MgmDeRegisterMProtocol(manager);
}

/* ---- what the daemon does with a new source --------------------------------------------------------- */

static DWORD new_source(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, PDWORD index, PDWORD next_hop,
                        PDWORD upstream, DWORD header_size, PBYTE header, PBYTE route)
{
    (void)source_mask, (void)group_mask, (void)next_hop, (void)upstream;
    (void)header_size, (void)header, (void)route;
    tell("new source", source, group, *index); /* the interface of the unicast route */
    return NO_ERROR;
}

static DWORD new_entry(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, DWORD index, DWORD next_hop,
                       DWORD out_count, PMGM_IF_ENTRY outs)
{
    DWORD n;
    (void)source, (void)source_mask, (void)group_mask, (void)index, (void)next_hop;
    for (n = 0; n < out_count; n++)
        outs[n].bIsEnabled = (group & wanted_mask) == wanted;
    return NO_ERROR;
}

static DWORD wrong_interface(DWORD source, DWORD group, DWORD index, DWORD next_hop, DWORD header_size, PBYTE header)
{
    (void)next_hop, (void)header_size, (void)header;
    tell("wrong interface", source, group, index);
    return NO_ERROR;
}

static void print_entry(const MIB_IPMCAST_MFE_STATS *entry)
{
    ULONG n;
    printf("entry %s", text(entry->dwSource));
    printf(" %s from %s, %lu packets to", text(entry->dwGroup), name_of(entry->dwInIfIndex),
           (unsigned long)entry->ulInPkts);
    for (n = 0; n < entry->ulNumOutIf; n++)
        printf(" %s", name_of(entry->rgmiosOutStats[n].dwOutIfIndex));
    printf("\n");
}

static void print_entries(void)
{
    static DWORD buffer[4096];
    MIB_IPMCAST_MFE last;
    DWORD count, n, all = 0, size = sizeof buffer;
    DWORD code = MgmGetFirstMfeStats(&size, (PBYTE)buffer, &count, MGM_MFE_STATS_0);

    memset(&last, 0, sizeof last);
    while (code == ERROR_MORE_DATA || code == ERROR_NO_MORE_ITEMS) {
        PBYTE at = (PBYTE)buffer;
        for (n = 0; n < count; n++) {
            PMIB_IPMCAST_MFE_STATS entry = (PMIB_IPMCAST_MFE_STATS)at;
            print_entry(entry);
            last.dwGroup = entry->dwGroup;
            last.dwSource = entry->dwSource;
            at += SIZEOF_MIB_MFE_STATS(entry->ulNumOutIf);
        }
        all += count;
        if (code == ERROR_NO_MORE_ITEMS)
            break;
        size = sizeof buffer;
        code = MgmGetNextMfeStats(&last, &size, (PBYTE)buffer, &count, MGM_MFE_STATS_0);
    }
    printf("%u entries\n", (unsigned)all);
    fflush(stdout);
}

/* ---- the program ------------------------------------------------------------------------------------ */

static int signals(void)
{
    sigset_t set;
    int fd;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if ((fd = signalfd(-1, &set, SFD_CLOEXEC)) < 0)
        die("signalfd");
    return fd;
}

static void options(int argc, char **argv)
{
    char *slash = argc < 3 ? NULL : strchr(argv[1], '/');
    int n, length = slash ? atoi(slash + 1) : -1;
    if (length < 4 || length > 32 || argc - 2 > MOST_INTERFACES) {
        fprintf(stderr, "usage: %s GROUPS/LENGTH INTERFACE...\n", argv[0]);
        exit(2);
    }
    *slash = '\0';
    wanted_mask = htonl(~0u << (32 - length));
    wanted = inet_addr(argv[1]) & wanted_mask;
    for (n = 2; n < argc; n++)
        if ((interfaces[interface_count++] = if_nametoindex(argv[n])) == 0)
            die(argv[n]);
}

int main(int argc, char **argv)
{
    struct pollfd polled[2];
    struct signalfd_siginfo signal;
    ROUTING_PROTOCOL_CONFIG callbacks;

    options(argc, argv);
    polled[0].fd = signals();
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.dwCallbackFlags = MGM_DISPATCHED; /* callbacks run inside MgmHostDispatch, on this thread */
    callbacks.pfnRpfCallback = new_source;
    callbacks.pfnCreationAlertCallback = new_entry;
    callbacks.pfnWrongIfCallback = wrong_interface;
    start_plane(&callbacks);
    must(MgmHostGetClientFd(manager, &polled[1].fd), "MgmHostGetClientFd");
    polled[0].events = polled[1].events = POLLIN;
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        if (poll(polled, 2, -1) < 0 && errno != EINTR)
            die("poll");
        if (polled[1].revents)
            must(MgmHostDispatch(manager), "MgmHostDispatch");
        if (polled[0].revents && read(polled[0].fd, &signal, sizeof signal) == sizeof signal) {
            if (signal.ssi_signo == SIGTERM)
                break;
            print_entries();
        }
    }
    end_plane();
    return 0;
}
