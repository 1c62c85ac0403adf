#include "route.h"
#include "../common/log.h"
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef RTM_F_FIB_MATCH
#define RTM_F_FIB_MATCH 0x2000
#endif

enum { REST_MS = 2, REMEMBERED = 4096 };

static int asker = -1, listener = -1;
static timer look;      /* at everything anew */
static uint64_t rested; /* from then on it may be done again */
static void (*on_change)(void);
static struct { uint32_t source; bool known, found; struct route route; } remembered[REMEMBERED];

/* How far a route is to be trusted, by the protocol that it came from: lower is better. What other routers take for theirs. */
static uint32_t preference_of(uint8_t protocol)
{
    switch (protocol) {
    case RTPROT_KERNEL: return 0;
    case 186: return 20;  /* BGP */
    case 187: return 115; /* IS-IS */
    case 188: return 110; /* OSPF */
    case 189: return 120; /* RIP */
    case 192: return 90;  /* EIGRP */
    case 42: return 100;  /* Babel */
    default: return 1;    /* static */
    }
}

/* Asks for the route, as it stands in the table (match) or as a packet would go. Gives the kernel's answer, or NULL. */
static const struct rtmsg *ask(uint32_t source, bool match, void *buffer, size_t size, int *left)
{
    static uint32_t sequence;
    struct {
        struct nlmsghdr header;
        struct rtmsg route;
        struct rtattr attribute;
        uint32_t destination;
    } question = {
        .header = {.nlmsg_len = sizeof question, .nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST},
        .route = {.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_flags = match ? RTM_F_FIB_MATCH : 0},
        .attribute = {.rta_len = RTA_LENGTH(4), .rta_type = RTA_DST},
        .destination = source,
    };
    question.header.nlmsg_seq = ++sequence;
    if (send(asker, &question, sizeof question, 0) < 0)
        return NULL;
    for (;;) {
        const struct nlmsghdr *header = buffer;
        ssize_t length = recv(asker, buffer, size, 0);
        if (length < 0 && errno == EINTR)
            continue;
        if (length < (ssize_t)sizeof *header || !NLMSG_OK(header, (unsigned)length))
            return NULL;
        if (header->nlmsg_seq != sequence)
            continue; /* the answer to a question that was given up */
        if (header->nlmsg_type != RTM_NEWROUTE || header->nlmsg_len < NLMSG_LENGTH(sizeof(struct rtmsg)))
            return NULL;
        *left = (int)(header->nlmsg_len - NLMSG_LENGTH(sizeof(struct rtmsg)));
        return NLMSG_DATA(header);
    }
}

static uint32_t value_of(const struct rtattr *a)
{
    uint32_t value = 0;
    if (RTA_PAYLOAD(a) >= sizeof value)
        memcpy(&value, RTA_DATA(a), sizeof value);
    return value;
}

static void read_hops(const struct rtmsg *m, int left, struct route *r)
{
    for (const struct rtattr *a = RTM_RTA(m); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if (a->rta_type == RTA_OIF)
            r->index = value_of(a);
        else if (a->rta_type == RTA_GATEWAY)
            r->next_hop = value_of(a);
        else if (a->rta_type == RTA_PRIORITY)
            r->metric = value_of(a);
    }
}

static bool look_up(uint32_t source, struct route *r)
{
    union {
        struct nlmsghdr header;
        char octets[8192];
    } buffer;
    int left;
    const struct rtmsg *m = ask(source, true, &buffer, sizeof buffer, &left);
    memset(r, 0, sizeof *r);
    if (m == NULL || (m->rtm_type != RTN_UNICAST && m->rtm_type != RTN_LOCAL))
        return false;
    r->mask_length = m->rtm_dst_len;
    r->preference = preference_of(m->rtm_protocol);
    read_hops(m, left, r);
    if (m->rtm_type == RTN_LOCAL)
        r->next_hop = 0;
    if (r->index == 0 && (m = ask(source, false, &buffer, sizeof buffer, &left)) != NULL)
        read_hops(m, left, r); /* several next hops: the one that the kernel picks */
    return r->index != 0;
}

bool route_find(uint32_t source, struct route *route)
{
    unsigned slot = (source ^ source >> 12 ^ source >> 20) % REMEMBERED;
    if (!remembered[slot].known || remembered[slot].source != source) {
        remembered[slot].source = source;
        remembered[slot].known = true;
        remembered[slot].found = look_up(source, &remembered[slot].route);
    }
    *route = remembered[slot].route;
    return remembered[slot].found;
}

/* A change counts at once: a link that fails is one, and what routes follow from it others, which must not wait either. Those that
 * come while one is followed are gathered for as long again, so that half of the time is left for the rest. */
static void look_anew(void *with)
{
    uint64_t begun = now_ms(), took;
    (void)with;
    memset(remembered, 0, sizeof remembered);
    on_change();
    took = now_ms() - begun;
    rested = now_ms() + (took > REST_MS ? took : REST_MS);
}

static void something_changed(void *with, short events)
{
    char buffer[16384];
    uint64_t now = now_ms();
    (void)with, (void)events;
    while (recv(listener, buffer, sizeof buffer, 0) > 0 || errno == ENOBUFS || errno == EINTR)
        ; /* whatever it was: all is looked up again */
    memset(remembered, 0, sizeof remembered);
    if (!look.set)
        timer_set(&look, now < rested ? rested - now : 0);
}

void route_start(void (*changed)(void))
{
    struct sockaddr_nl here = {.nl_family = AF_NETLINK,
                               .nl_groups = RTMGRP_IPV4_ROUTE | RTMGRP_IPV4_RULE | RTMGRP_LINK | RTMGRP_IPV4_IFADDR};
    struct timeval patience = {.tv_sec = 1};
    on_change = changed;
    timer_init(&look, look_anew, NULL);
    asker = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    listener = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (asker < 0 || listener < 0 || bind(listener, (struct sockaddr *)&here, sizeof here) != 0 ||
        setsockopt(asker, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
        die("rtnetlink: %s", strerror(errno));
    loop_watch(listener, something_changed, NULL);
}
