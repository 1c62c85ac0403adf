/* A route moves under many flows of source-specific groups: how long until all of them come in by the new one? The host plays
 * both neighbours upstream, as 10.2.0.11 and 10.3.0.12, and the member, as 10.4.0.9. */
#include "host.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/mroute.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#define GROUP 0xe8400000u  /* 232.64.0.0 */
#define SOURCE 0x0a090002u /* 10.9.0.2, behind both neighbours */
#define ONE 0x0a02000bu
#define TWO 0x0a03000cu
#define MEMBER 0x0a040009u
#define MS 1000000ll
#define PATIENCE (120000 * MS)

static int one, two, member, link_of_member;

static void join_those(const unsigned char *there)
{
    unsigned n, sent = 0;
    for (n = 0; n < count; n += MOST_RECORDS) {
        unsigned records = count - n < MOST_RECORDS ? count - n : MOST_RECORDS;
        if (memchr(there + n, 0, records) == NULL)
            continue;
        send_report(member, MEMBER, ALLOW, GROUP + n, records, SOURCE);
        if (++sent % 10 == 0)
            hear(link_of_member, now() + 2 * MS);
    }
}

/* Marks the flows of which a packet arrives until `end`; gives how many are new. */
static unsigned arrivals(unsigned char *there, int64_t end)
{
    unsigned found = 0;
    uint32_t group;
    while ((group = hear(link_of_member, end)) != 0) {
        unsigned n = group - GROUP;
        if (n < count && !there[n]) {
            there[n] = 1;
            found++;
        }
    }
    return found;
}

/* Sends a packet of each flow that is missing, by one of the neighbours, again and again, until all have arrived; with `joins`
 * reports them again, too. Gives how many did not within the time. */
static unsigned all_arrive(int by, unsigned char *there, int joins)
{
    int64_t end = now() + PATIENCE, say = 0;
    unsigned missing = count, n;
    memset(there, 0, count);
    while (missing > 0 && now() < end) {
        if (now() >= say) {
            send_hello(one, ONE);
            send_hello(two, TWO);
            if (joins)
                join_those(there);
            say = now() + 3000 * MS;
        }
        for (n = 0; n < count; n++) {
            if (!there[n])
                send_data(by, SOURCE, GROUP + n);
            if (n % 64 == 63) /* no more than the kernel keeps while the router makes up its mind */
                missing -= arrivals(there, now() + MS);
        }
        missing -= arrivals(there, now() + 20 * MS);
    }
    return missing;
}

/* Hears of the router's routes and of its kernel's entries. */
static int listen_to_kernel(void)
{
    int size = 256 << 20, s, group;
    struct sockaddr_nl any = {.nl_family = AF_NETLINK};
    enter("rtr");
    MUST(s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    MUST(setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size));
    MUST(bind(s, (struct sockaddr *)&any, sizeof any));
    for (group = RTNLGRP_IPV4_ROUTE;; group = RTNLGRP_IPV4_MROUTE) {
        MUST(setsockopt(s, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group));
        if (group == RTNLGRP_IPV4_MROUTE)
            return s;
    }
}

static uint32_t attribute(const struct nlmsghdr *head, unsigned short type)
{
    const struct rtmsg *route = NLMSG_DATA(head);
    const struct rtattr *at = RTM_RTA(route);
    long left = (long)RTM_PAYLOAD(head);
    uint32_t found = 0;
    for (; RTA_OK(at, left); at = RTA_NEXT(at, left))
        if (at->rta_type == type && RTA_PAYLOAD(at) == sizeof found)
            memcpy(&found, RTA_DATA(at), sizeof found);
    return found;
}

/* Until all entries have their new iif; gives ns since the route moved, or -1. */
static int64_t entries_move(int s, uint32_t iif)
{
    static char buffer[65536];
    unsigned char *moved = calloc(count, 1);
    unsigned left_to_move = count;
    int64_t end = now() + PATIENCE, begun = 0;
    if (moved == NULL)
        fatal("memory");
    while (left_to_move > 0 && now() < end) {
        const struct nlmsghdr *head = (const void *)buffer;
        int left = (int)recv(s, buffer, sizeof buffer, MSG_DONTWAIT);
        if (left < 0 && errno == EAGAIN) { /* to be woken by each entry would cost the router more than its own work */
            struct timespec pause = {0, MS};
            nanosleep(&pause, NULL);
        } else if (left < 0) {
            fatal("what the kernel tells was lost");
        }
        for (; left > 0 && NLMSG_OK(head, (unsigned)left); head = NLMSG_NEXT(head, left)) {
            const struct rtmsg *route = NLMSG_DATA(head);
            unsigned n = ntohl(attribute(head, RTA_DST)) - GROUP;
            if (head->nlmsg_type != RTM_NEWROUTE)
                continue;
            if (route->rtm_family == AF_INET) {
                if (begun == 0)
                    begun = now();
            } else if (n < count && !moved[n] && attribute(head, RTA_IIF) == iif) {
                moved[n] = 1;
                left_to_move--;
            }
        }
    }
    free(moved);
    return left_to_move == 0 && begun != 0 ? now() - begun : -1;
}

static void move_route(void)
{
    char *command[] = {"ip", "route", "replace", "10.9.0.0/24", "via", "10.3.0.12", NULL};
    extern char **environ;
    pid_t child;
    int status = posix_spawnp(&child, "ip", NULL, NULL, command, environ); /* in the router's namespace, where we are */
    if (status != 0 || waitpid(child, &status, 0) != child || status != 0)
        fatal("ip route replace");
}

void reroute(void)
{
    unsigned char *there = calloc(count, 1);
    unsigned missing;
    int kernel;
    int64_t took;
    if (there == NULL)
        fatal("memory");
    one = sender("one");
    two = sender("two");
    member = sender("member");
    link_of_member = receiver("member");
    missing = all_arrive(one, there, 1);
    if (missing > 0) {
        fprintf(stderr, "host: %u of %u flows do not come by %s\n", missing, count, who);
        report("reroute: flows that never came", missing);
        return;
    }
    kernel = listen_to_kernel();
    move_route();
    took = entries_move(kernel, if_nametoindex("two"));
    if (took >= 0)
        report("reroute: ms until the last flow is on its new interface", (double)took / MS);
    report("reroute: flows that did not come back", all_arrive(two, there, 0));
}
