/* A small multicast routing daemon on Linux's multicast routing socket: each stream of the wanted groups goes from the
 * interface toward its source to all others. port_mgm.c is the same daemon on mgm.h; docs/PORTING.md goes through both.
 *
 *     port_mrt GROUPS/LENGTH INTERFACE...
 *
 * SIGUSR1 prints the entries, SIGTERM ends it. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/mroute.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_MS = 60000, IDLE_LOOKS = 15, MOST_ENTRIES = 1024 };

typedef struct entry {
    struct mfcctl mfc;
    unsigned long packets; /* at the last look */
    int idle_looks;        /* how many looks ago that was another number */
} entry;

static in_addr_t wanted, wanted_mask; /* network byte order */
static unsigned interfaces[MAXVIFS];  /* the place is the VIF's number */
static int interface_count;
static int kernel, route_socket;
static entry entries[MOST_ENTRIES];
static int entry_count;

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

/* ---- the kernel ------------------------------------------------------------------------------------ */

static void start_plane(void)
{
    int on = 1, n;
    if ((kernel = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_IGMP)) < 0)
        die("socket");
    if (setsockopt(kernel, IPPROTO_IP, MRT_INIT, &on, sizeof on) < 0)
        die("MRT_INIT");
    if (setsockopt(kernel, IPPROTO_IP, MRT_ASSERT, &on, sizeof on) < 0)
        die("MRT_ASSERT");
    for (n = 0; n < interface_count; n++) {
        struct vifctl vif;
        memset(&vif, 0, sizeof vif);
        vif.vifc_vifi = (vifi_t)n;
        vif.vifc_flags = VIFF_USE_IFINDEX;
        vif.vifc_threshold = 1;
        vif.vifc_lcl_ifindex = (int)interfaces[n];
        if (setsockopt(kernel, IPPROTO_IP, MRT_ADD_VIF, &vif, sizeof vif) < 0)
            die("MRT_ADD_VIF");
    }
    if ((route_socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)) < 0)
        die("netlink");
}

static void end_plane(void)
{
    setsockopt(kernel, IPPROTO_IP, MRT_DONE, NULL, 0);
    close(kernel);
}

/* The index of the interface toward a source; 0: no route. */
static unsigned toward(in_addr_t source)
{
    struct {
        struct nlmsghdr header;
        struct rtmsg route;
        struct rtattr attribute;
        in_addr_t address;
    } question;
    char answer[4096];
    struct nlmsghdr *header = (struct nlmsghdr *)answer;
    struct rtattr *at;
    ssize_t size;
    int left;

    memset(&question, 0, sizeof question);
    question.header.nlmsg_len = sizeof question;
    question.header.nlmsg_type = RTM_GETROUTE;
    question.header.nlmsg_flags = NLM_F_REQUEST;
    question.route.rtm_family = AF_INET;
    question.route.rtm_dst_len = 32;
    question.attribute.rta_type = RTA_DST;
    question.attribute.rta_len = RTA_LENGTH(sizeof question.address);
    question.address = source;
    if (send(route_socket, &question, sizeof question, 0) < 0 ||
        (size = recv(route_socket, answer, sizeof answer, 0)) < 0)
        return 0;
    if (!NLMSG_OK(header, (unsigned)size) || header->nlmsg_type != RTM_NEWROUTE)
        return 0;
    left = (int)RTM_PAYLOAD(header);
    for (at = RTM_RTA((struct rtmsg *)NLMSG_DATA(header)); RTA_OK(at, left); at = RTA_NEXT(at, left))
        if (at->rta_type == RTA_OIF && RTA_PAYLOAD(at) == sizeof(int))
            return *(unsigned *)RTA_DATA(at);
    return 0;
}

static unsigned long packets_of(const entry *e)
{
    struct sioc_sg_req request;
    memset(&request, 0, sizeof request);
    request.src = e->mfc.mfcc_origin;
    request.grp = e->mfc.mfcc_mcastgrp;
    return ioctl(kernel, SIOCGETSGCNT, &request) < 0 ? 0 : request.pktcnt - request.wrong_if;
}

/* ---- what the daemon does with a new source --------------------------------------------------------- */

static void new_source(in_addr_t source, in_addr_t group)
{
    unsigned index = toward(source);
    struct mfcctl mfc;
    int n;

    memset(&mfc, 0, sizeof mfc);
    mfc.mfcc_origin.s_addr = source;
    mfc.mfcc_mcastgrp.s_addr = group;
    mfc.mfcc_parent = MAXVIFS;
    for (n = 0; n < interface_count; n++)
        if (interfaces[n] == index)
            mfc.mfcc_parent = (vifi_t)n;
    if (mfc.mfcc_parent == MAXVIFS)
        return; /* the next packet asks again, ten seconds from now */
    tell("new source", source, group, index);
    if ((group & wanted_mask) == wanted)
        for (n = 0; n < interface_count; n++)
            mfc.mfcc_ttls[n] = n != mfc.mfcc_parent;
    if (entry_count == MOST_ENTRIES)
        return;
    if (setsockopt(kernel, IPPROTO_IP, MRT_ADD_MFC, &mfc, sizeof mfc) < 0) {
        perror("MRT_ADD_MFC");
        return;
    }
    memset(&entries[entry_count], 0, sizeof *entries);
    entries[entry_count++].mfc = mfc;
}

static void wrong_interface(in_addr_t source, in_addr_t group, unsigned index)
{
    tell("wrong interface", source, group, index);
}

static void message(void)
{
    union {
        struct igmpmsg upcall;
        char octets[4096];
    } read;
    ssize_t size = recv(kernel, &read, sizeof read, 0);
    if (size < (ssize_t)sizeof read.upcall || read.upcall.im_mbz != 0)
        return; /* not the kernel's: an IGMP packet */
    if (read.upcall.im_msgtype == IGMPMSG_NOCACHE)
        new_source(read.upcall.im_src.s_addr, read.upcall.im_dst.s_addr);
    if (read.upcall.im_msgtype == IGMPMSG_WRONGVIF && read.upcall.im_vif < interface_count)
        wrong_interface(read.upcall.im_src.s_addr, read.upcall.im_dst.s_addr, interfaces[read.upcall.im_vif]);
}

/* Entries that carry nothing for a quarter of an hour go. */
static void look_for_idle_entries(void)
{
    int n;
    for (n = entry_count - 1; n >= 0; n--) {
        unsigned long packets = packets_of(&entries[n]);
        entries[n].idle_looks = packets == entries[n].packets ? entries[n].idle_looks + 1 : 0;
        entries[n].packets = packets;
        if (entries[n].idle_looks < IDLE_LOOKS)
            continue;
        setsockopt(kernel, IPPROTO_IP, MRT_DEL_MFC, &entries[n].mfc, sizeof entries[n].mfc);
        entries[n] = entries[--entry_count];
    }
}

static void print_entries(void)
{
    int n, vif;
    for (n = 0; n < entry_count; n++) {
        const struct mfcctl *mfc = &entries[n].mfc;
        printf("entry %s", text(mfc->mfcc_origin.s_addr));
        printf(" %s from %s, %lu packets to", text(mfc->mfcc_mcastgrp.s_addr), name_of(interfaces[mfc->mfcc_parent]),
               packets_of(&entries[n]));
        for (vif = 0; vif < interface_count; vif++)
            if (mfc->mfcc_ttls[vif])
                printf(" %s", name_of(interfaces[vif]));
        printf("\n");
    }
    printf("%d entries\n", entry_count);
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
    if (length < 4 || length > 32 || argc - 2 > MAXVIFS) {
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
    struct timespec then, now;

    options(argc, argv);
    polled[0].fd = signals();
    start_plane();
    polled[1].fd = kernel;
    polled[0].events = polled[1].events = POLLIN;
    printf("ready\n");
    fflush(stdout);
    clock_gettime(CLOCK_MONOTONIC, &then);
    for (;;) {
        if (poll(polled, 2, LOOK_MS) < 0 && errno != EINTR)
            die("poll");
        if (polled[1].revents)
            message();
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec - then.tv_sec >= LOOK_MS / 1000) {
            then = now;
            look_for_idle_entries();
        }
        if (polled[0].revents && read(polled[0].fd, &signal, sizeof signal) == sizeof signal) {
            if (signal.ssi_signo == SIGTERM)
                break;
            print_entries();
        }
    }
    end_plane();
    return 0;
}
