/* kernel: new flows, changes and statistics on Linux's multicast forwarding, by libmgm and by a bare
 * loop of system calls, in the same network namespaces.
 *
 *     kernel table bare|mgm ENTRIES              program, withdraw, read statistics
 *     kernel flows bare|mgm|NAME FLOWS burst     resolve flows whose senders keep sending
 *     kernel flows bare|mgm|NAME FLOWS single    one packet for each flow, as fast as it goes
 *     kernel flows bare|mgm|NAME FLOWS paced     one packet for each flow, 10,000 a second
 *
 * Run in a namespace with the interfaces to-src and to-rcv1 .. to-rcv3 (as many as there are), whose
 * other ends are eth0 in the namespaces src and rcv1 (benches/run.sh makes them). NAME stands for
 * another router that runs already. Prints `what<TAB>entries<TAB>who<TAB>value` lines.
 *
 * A flow is a source 10.1.0.0 + n that sends to 239.1.1.1. Packets carry the time of sending. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/mroute.h>
#include <mgm.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GROUP 0xef010101u
#define SOURCE 0x0a010000u
#define MAX_OUT 3
#define PATIENCE_NS 15000000000 /* after this, what has not arrived is lost */

static const char *who;
static unsigned count;
static unsigned out_index[MAX_OUT], outs, in_index;

static void fatal(const char *what)
{
    fprintf(stderr, "kernel: %s: %s\n", what, strerror(errno));
    exit(1);
}

#define MUST(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            fatal(#call);                                                                          \
    } while (0)

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void report(const char *what, double value)
{
    printf("%s\t%u\t%s\t%.3f\n", what, count, who, value);
    fflush(stdout);
}

static void find_interfaces(void)
{
    char name[16];
    in_index = if_nametoindex("to-src");
    for (outs = 0; outs < MAX_OUT; outs++) {
        snprintf(name, sizeof name, "to-rcv%u", outs + 1);
        out_index[outs] = if_nametoindex(name);
        if (out_index[outs] == 0)
            break;
    }
    if (in_index == 0 || outs == 0)
        fatal("to-src, to-rcv1");
}

/* ---- the bare router ---- */

static int mroute(void)
{
    unsigned n;
    int on = 1, s = socket(AF_INET, SOCK_RAW, IPPROTO_IGMP);
    MUST(s);
    MUST(setsockopt(s, IPPROTO_IP, MRT_INIT, &on, sizeof on));
    for (n = 0; n <= outs; n++) {
        struct vifctl vif;
        memset(&vif, 0, sizeof vif);
        vif.vifc_vifi = (vifi_t)n;
        vif.vifc_flags = VIFF_USE_IFINDEX;
        vif.vifc_threshold = 1;
        vif.vifc_lcl_ifindex = (int)(n == 0 ? in_index : out_index[n - 1]);
        MUST(setsockopt(s, IPPROTO_IP, MRT_ADD_VIF, &vif, sizeof vif));
    }
    return s;
}

static struct mfcctl mfc(uint32_t source, uint32_t group, unsigned oifs)
{
    struct mfcctl entry;
    unsigned n;
    memset(&entry, 0, sizeof entry);
    entry.mfcc_origin.s_addr = source;
    entry.mfcc_mcastgrp.s_addr = group;
    for (n = 1; n <= oifs; n++)
        entry.mfcc_ttls[n] = 1;
    return entry;
}

static void bare_router(int ready)
{
    char buffer[256];
    int s = mroute();
    MUST((int)write(ready, "", 1));
    for (;;) {
        ssize_t got = recv(s, buffer, sizeof buffer, 0);
        const struct igmpmsg *message = (const void *)buffer;
        if (got >= (ssize_t)sizeof *message && message->im_mbz == 0 &&
            message->im_msgtype == IGMPMSG_NOCACHE) {
            struct mfcctl entry = mfc(message->im_src.s_addr, message->im_dst.s_addr, outs);
            MUST(setsockopt(s, IPPROTO_IP, MRT_ADD_MFC, &entry, sizeof entry));
        }
    }
}

/* ---- the router on libmgm ---- */

static HANDLE protocol;

static void check(DWORD code, const char *call)
{
    if (code == NO_ERROR)
        return;
    fprintf(stderr, "kernel: %s gave %u\n", call, (unsigned)code);
    exit(1);
}
#define GOOD(call) check(call, #call)

static DWORD rpf(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, PDWORD index,
                 PDWORD next_hop, PDWORD upstream, DWORD header_size, PBYTE header, PBYTE route)
{
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)index, (void)next_hop;
    (void)upstream, (void)header_size, (void)header, (void)route;
    return NO_ERROR;
}

static DWORD creation(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, DWORD index,
                      DWORD next_hop, DWORD number, PMGM_IF_ENTRY out)
{
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)index, (void)next_hop;
    (void)number, (void)out;
    return NO_ERROR;
}

static void member(BOOL add, unsigned index)
{
    if (add)
        GOOD(MgmAddGroupMembershipEntry(protocol, 0, 0, htonl(GROUP), 0xffffffff, index, 0,
                                        MGM_JOIN_STATE_FLAG));
    else
        GOOD(MgmDeleteGroupMembershipEntry(protocol, 0, 0, htonl(GROUP), 0xffffffff, index, 0,
                                           MGM_JOIN_STATE_FLAG));
}

static void mgm_start(void)
{
    ROUTING_PROTOCOL_CONFIG callbacks;
    unsigned n;
    setenv("MGM_FORWARDER", "kernel", 1);
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.pfnRpfCallback = rpf;
    callbacks.pfnCreationAlertCallback = creation;
    GOOD(MgmRegisterMProtocol(&callbacks, 1, 1, &protocol));
    GOOD(MgmTakeInterfaceOwnership(protocol, in_index, 0));
    for (n = 0; n < outs; n++) {
        GOOD(MgmTakeInterfaceOwnership(protocol, out_index[n], 0));
        member(TRUE, out_index[n]);
    }
}

/* ---- traffic ---- */

static void enter(const char *name)
{
    char path[64];
    int ns;
    snprintf(path, sizeof path, "/run/netns/%s", name);
    ns = open(path, O_RDONLY | O_CLOEXEC);
    MUST(ns);
    MUST(setns(ns, CLONE_NEWNET));
    close(ns);
}

static int64_t *latency; /* 0: not delivered yet */
static volatile unsigned delivered;
static volatile int64_t last_delivery;
static volatile int receiving, over;
static const char *mode;

struct packet {
    unsigned char ip[20], udp[8];
    int64_t sent;
} __attribute__((packed));

static void *receive(void *unused)
{
    int size = 256 << 20, s;
    struct sockaddr_ll at;
    (void)unused;
    enter("rcv1");
    s = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_IP));
    MUST(s);
    setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    memset(&at, 0, sizeof at);
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_IP);
    at.sll_ifindex = (int)if_nametoindex("eth0");
    MUST(bind(s, (struct sockaddr *)&at, sizeof at));
    receiving = 1;
    while (!over) {
        struct packet packet;
        uint32_t source;
        unsigned n;
        struct pollfd ready = {s, POLLIN, 0};
        if (poll(&ready, 1, 100) <= 0 ||
            recv(s, &packet, sizeof packet, 0) != (ssize_t)sizeof packet || packet.ip[9] != 17)
            continue;
        memcpy(&source, packet.ip + 12, 4);
        n = ntohl(source) - SOURCE;
        if (n >= count || latency[n] != 0)
            continue;
        last_delivery = now();
        latency[n] = last_delivery - packet.sent;
        delivered++;
    }
    close(s);
    return NULL;
}

static void send_flow(int s, unsigned n)
{
    struct packet packet;
    struct sockaddr_in to;
    uint32_t source = htonl(SOURCE + n), group = htonl(GROUP);
    memset(&packet, 0, sizeof packet);
    memset(&to, 0, sizeof to);
    packet.ip[0] = 0x45;
    packet.ip[8] = 16;
    packet.ip[9] = 17;
    memcpy(packet.ip + 12, &source, 4);
    memcpy(packet.ip + 16, &group, 4);
    packet.udp[1] = packet.udp[3] = 9;
    packet.udp[5] = 16;
    packet.sent = now();
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = group;
    while (sendto(s, &packet, sizeof packet, 0, (struct sockaddr *)&to, sizeof to) < 0)
        if (errno != ENOBUFS && errno != EINTR)
            fatal("sendto");
}

static int64_t begun, sent_all;

static void *transmit(void *unused)
{
    int s;
    unsigned n;
    struct ip_mreqn via;
    int64_t begin;
    (void)unused;
    enter("src");
    s = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    MUST(s);
    memset(&via, 0, sizeof via);
    via.imr_ifindex = (int)if_nametoindex("eth0");
    MUST(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &via, sizeof via));
    begin = begun = now();
    for (n = 0; n < count; n++) {
        if (mode[0] == 'p') /* one each 100 µs; sleeping would oversleep */
            while (now() < begin + (int64_t)n * 100000)
                sched_yield();
        send_flow(s, n);
    }
    sent_all = now();
    /* Senders that keep sending: those without a delivery, again and again. */
    while (mode[0] == 'b' && delivered < count && now() < begin + 2 * PATIENCE_NS) {
        unsigned before = delivered;
        for (n = 0; n < count; n++)
            if (latency[n] == 0)
                send_flow(s, n);
        if (delivered == before)
            sched_yield();
    }
    close(s);
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void traffic(void)
{
    pthread_t receiver, sender;
    unsigned n, seen = 0, before;
    latency = calloc(count, sizeof *latency);
    delivered = 0;
    receiving = over = 0;
    pthread_create(&receiver, NULL, receive, NULL);
    while (!receiving)
        sched_yield();
    pthread_create(&sender, NULL, transmit, NULL);
    pthread_join(sender, NULL);
    /* What is on its way arrives, or nothing does for a while. */
    for (before = delivered + 1, n = 0; delivered < count && n < 10; n++) {
        struct timespec pause = {0, 50000000};
        if (delivered != before)
            n = 0;
        before = delivered;
        nanosleep(&pause, NULL);
    }
    over = 1;
    pthread_join(receiver, NULL);
    for (n = 0; n < count; n++)
        if (latency[n] != 0)
            latency[seen++] = latency[n];
    qsort(latency, seen, sizeof *latency, by_value);
}

static void flows(void)
{
    char what[64];
    pid_t router = 0;
    int ready[2];
    char byte;
    if (strcmp(who, "bare") == 0 || strcmp(who, "mgm") == 0) {
        MUST(pipe(ready));
        router = fork();
        MUST(router);
        if (router == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (strcmp(who, "bare") == 0)
                bare_router(ready[1]);
            mgm_start();
            MUST((int)write(ready[1], "", 1));
            for (;;)
                pause();
        }
        close(ready[1]);
        if (read(ready[0], &byte, 1) != 1)
            fatal("the router did not start");
    }
    traffic();
    snprintf(what, sizeof what, "flows %s: lost", mode);
    report(what, count - delivered);
    if (delivered > 0) {
        snprintf(what, sizeof what, "flows %s: resolved/s", mode);
        report(what, delivered / ((double)(last_delivery - begun) / 1e9));
        if (mode[0] == 'p') {
            report("flows paced: p50 µs", (double)latency[delivered / 2] / 1e3);
            report("flows paced: p99 µs", (double)latency[delivered - 1 - delivered / 100] / 1e3);
        }
    }
    if (router > 0) {
        kill(router, SIGKILL);
        waitpid(router, NULL, 0);
    }
}

/* ---- tables ---- */

static long kernel_memory_kb(void)
{
    char line[128];
    long value = 0, sum = 0;
    FILE *f = fopen("/proc/meminfo", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "Slab: %ld", &value) == 1)
            sum += value;
    if (f != NULL)
        fclose(f);
    return sum;
}

static void bare_table(void)
{
    unsigned n, round;
    int64_t begin;
    long before = kernel_memory_kb();
    int s = mroute();
    begin = now();
    for (n = 0; n < count; n++) {
        struct mfcctl entry = mfc(htonl(SOURCE + n), htonl(GROUP), 1);
        MUST(setsockopt(s, IPPROTO_IP, MRT_ADD_MFC, &entry, sizeof entry));
    }
    report("kernel: new entry ns", (double)(now() - begin) / count);
    report("kernel memory: bytes per MFC", (double)(kernel_memory_kb() - before) * 1024 / count);
    for (round = 0; round < 2; round++) {
        begin = now();
        for (n = 0; n < count; n++) {
            struct mfcctl entry = mfc(htonl(SOURCE + n), htonl(GROUP), 2 - round);
            MUST(setsockopt(s, IPPROTO_IP, MRT_ADD_MFC, &entry, sizeof entry));
        }
        report(round == 0 ? "(*,G) join over MFEs, ns each" : "(*,G) leave over MFEs, ns each",
               (double)(now() - begin) / count);
    }
    begin = now();
    for (n = 0; n < count; n++) {
        struct sioc_sg_req request;
        memset(&request, 0, sizeof request);
        request.src.s_addr = htonl(SOURCE + n);
        request.grp.s_addr = htonl(GROUP);
        MUST(ioctl(s, SIOCGETSGCNT, &request));
    }
    report("statistics of all, ns each", (double)(now() - begin) / count);
    close(s);
}

static void mgm_table(void)
{
    static BYTE buffer[65536];
    MIB_IPMCAST_MFE last;
    DWORD size = sizeof buffer, entries, code, total = 0;
    unsigned n;
    int64_t begin;
    mgm_start();
    for (n = 1; n < outs; n++)
        member(FALSE, out_index[n]);
    mode = "burst";
    traffic();
    if (delivered != count) {
        fprintf(stderr, "kernel: only %u of %u flows came\n", delivered, count);
        exit(1);
    }
    begin = now();
    member(TRUE, out_index[1]);
    report("(*,G) join over MFEs, ns each", (double)(now() - begin) / count);
    begin = now();
    member(FALSE, out_index[1]);
    report("(*,G) leave over MFEs, ns each", (double)(now() - begin) / count);
    begin = now();
    code = MgmGetFirstMfeStats(&size, buffer, &entries, MGM_MFE_STATS_0);
    while (code == ERROR_MORE_DATA) {
        const BYTE *at = buffer + (entries - 1) * SIZEOF_MIB_MFE_STATS(1);
        total += entries;
        memset(&last, 0, sizeof last);
        memcpy(&last, at, 8); /* group and source */
        size = sizeof buffer;
        code = MgmGetNextMfeStats(&last, &size, buffer, &entries, MGM_MFE_STATS_0);
    }
    total += entries;
    if (code != ERROR_NO_MORE_ITEMS || total != count) {
        fprintf(stderr, "kernel: %u of %u statistics, code %u\n", total, count, code);
        exit(1);
    }
    report("statistics of all, ns each", (double)(now() - begin) / count);
}

int main(int argc, char **argv)
{
    if (argc < 4 || (count = (unsigned)strtoul(argv[3], NULL, 10)) == 0) {
        fprintf(stderr, "usage: kernel table|flows WHO NUMBER [burst|single|paced]\n");
        return 2;
    }
    who = argv[2];
    find_interfaces();
    if (strcmp(argv[1], "flows") == 0 && argc == 5) {
        mode = argv[4];
        flows();
    } else if (outs < 2) {
        fatal("to-rcv2");
    } else if (strcmp(who, "bare") == 0) {
        bare_table();
    } else {
        mgm_table();
    }
    _exit(0); /* the bench is over, whatever threads still do */
}
