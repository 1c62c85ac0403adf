/* Senders and a receiver. Packets carry the time of sending. */
#include "kernel.h"
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* After this, what has not arrived is lost. A few flows are a probe, which whoever probes repeats. */
#define PATIENCE_NS (count >= 100 ? 20000000000 : 300000000)
#define STALL_NS 20000000
#define WINDOW_SIZE 128

struct packet {
    unsigned char ip[20], udp[8];
    int64_t sent;
} __attribute__((packed));

static enum mode mode;
static _Atomic int64_t *latency; /* 0: not delivered yet */
static atomic_uint delivered;
static _Atomic int64_t last_delivery;
static atomic_int receiving, over;
static int64_t begun;

static void *receive(void *unused)
{
    int size = 256 << 20, s;
    struct sockaddr_ll at;
    (void)unused;
    close(enter("rcv1"));
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
        if (poll(&ready, 1, 20) <= 0 ||
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

/* The address that an attribute of a route has; 0: it has none. */
static uint32_t address(const struct nlmsghdr *head, unsigned short type)
{
    const struct rtmsg *route = NLMSG_DATA(head);
    const struct rtattr *attribute = RTM_RTA(route);
    long left = (long)RTM_PAYLOAD(head);
    uint32_t found = 0;
    for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
        if (attribute->rta_type == type && RTA_PAYLOAD(attribute) == sizeof found)
            memcpy(&found, RTA_DATA(attribute), sizeof found);
    return found;
}

/* Instead of deliveries, the kernel's own word that a flow has an entry now. */
static void *watch(void *unused)
{
    int size = 256 << 20, wanted = RTNLGRP_IPV4_MROUTE, s;
    struct sockaddr_nl any = {.nl_family = AF_NETLINK};
    (void)unused;
    MUST(s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    MUST(bind(s, (struct sockaddr *)&any, sizeof any));
    MUST(setsockopt(s, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &wanted, sizeof wanted));
    receiving = 1;
    while (!over) {
        char buffer[8192];
        struct pollfd ready = {s, POLLIN, 0};
        const struct nlmsghdr *head = (const void *)buffer;
        int left = poll(&ready, 1, 20) > 0 ? (int)recv(s, buffer, sizeof buffer, 0) : 0;
        for (; left > 0 && NLMSG_OK(head, (unsigned)left); head = NLMSG_NEXT(head, left)) {
            const struct rtmsg *route = NLMSG_DATA(head);
            unsigned n = ntohl(address(head, RTA_SRC)) - SOURCE;
            if (head->nlmsg_type != RTM_NEWROUTE || (route->rtm_flags & RTNH_F_UNRESOLVED) != 0 ||
                n >= count || latency[n] != 0)
                continue;
            last_delivery = now();
            latency[n] = last_delivery - begun;
            delivered++;
        }
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

/* Waits until no more than `pending` of `sent` flows have no delivery; false: none comes any more. */
static int keeps_up(unsigned sent, unsigned pending)
{
    int64_t stalled = now() + STALL_NS;
    unsigned before = delivered;
    while (sent - delivered > pending) {
        if (delivered != before) {
            before = delivered;
            stalled = now() + STALL_NS;
        } else if (now() > stalled) {
            return 0;
        }
        sched_yield();
    }
    return 1;
}

static void *transmit(void *unused)
{
    int s;
    unsigned n;
    struct ip_mreqn via;
    (void)unused;
    close(enter("src"));
    s = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    MUST(s);
    memset(&via, 0, sizeof via);
    via.imr_ifindex = (int)if_nametoindex("eth0");
    MUST(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &via, sizeof via));
    begun = now();
    for (n = 0; n < count; n++) {
        if (mode == PACED) /* one each 100 µs; sleeping would oversleep */
            while (now() < begun + (int64_t)n * 100000)
                sched_yield();
        if (mode == WINDOW)
            keeps_up(n, WINDOW_SIZE);
        send_flow(s, n);
    }
    /* Senders that keep sending: those without a delivery, again and again. */
    while ((mode == BURST || mode == INSTALLED || mode == WINDOW) && delivered < count && now() < begun + PATIENCE_NS) {
        unsigned before = delivered;
        if (mode == WINDOW && keeps_up(count, 0))
            break;
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

struct outcome traffic(enum mode how)
{
    pthread_t receiver, sender;
    struct outcome outcome = {0, 0, NULL};
    struct timespec pause = {0, 20000000};
    unsigned n, before, quiet = 0;
    free(latency);
    mode = how;
    latency = calloc(count, sizeof *latency);
    outcome.latency = calloc(count, sizeof *outcome.latency);
    if (latency == NULL || outcome.latency == NULL)
        fatal("memory");
    delivered = 0;
    receiving = over = 0;
    pthread_create(&receiver, NULL, mode == INSTALLED ? watch : receive, NULL);
    while (!receiving)
        sched_yield();
    pthread_create(&sender, NULL, transmit, NULL);
    pthread_join(sender, NULL);
    /* What is on its way arrives, or nothing does for half a second. */
    for (before = delivered; delivered < count && quiet < 25; quiet++) {
        nanosleep(&pause, NULL);
        if (delivered != before)
            quiet = 0;
        before = delivered;
    }
    over = 1;
    pthread_join(receiver, NULL);
    for (n = 0; n < count; n++)
        if (latency[n] != 0)
            outcome.latency[outcome.delivered++] = latency[n];
    qsort(outcome.latency, outcome.delivered, sizeof *outcome.latency, by_value);
    outcome.seconds = (double)(last_delivery - begun) / 1e9;
    return outcome;
}
