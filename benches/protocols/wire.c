/* Sockets in network namespaces, and the packets that hosts and sources send. See host.h. */
#include "host.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void fatal(const char *what)
{
    fprintf(stderr, "host: %s: %s\n", what, strerror(errno));
    exit(1);
}

int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void enter(const char *name)
{
    char path[64];
    int ns;
    snprintf(path, sizeof path, "/run/netns/%s", name);
    MUST(ns = open(path, O_RDONLY | O_CLOEXEC));
    MUST(setns(ns, CLONE_NEWNET));
    close(ns);
}

int sender(const char *namespace)
{
    struct ip_mreqn via;
    int s;
    enter(namespace);
    MUST(s = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
    memset(&via, 0, sizeof via);
    via.imr_ifindex = (int)if_nametoindex("eth0");
    MUST(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &via, sizeof via));
    return s;
}

int receiver(const char *namespace)
{
    int size = 64 << 20, s;
    struct sockaddr_ll at;
    enter(namespace);
    MUST(s = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_IP)));
    MUST(setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size));
    memset(&at, 0, sizeof at);
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_IP);
    at.sll_ifindex = (int)if_nametoindex("eth0");
    MUST(bind(s, (struct sockaddr *)&at, sizeof at));
    return s;
}

static void put32(unsigned char *at, uint32_t value)
{
    value = htonl(value);
    memcpy(at, &value, 4);
}

static void put_checksum(unsigned char *at, size_t size, size_t offset)
{
    unsigned long sum = 0;
    size_t n;
    for (n = 0; n < size; n++)
        sum += (unsigned long)at[n] << (n % 2 == 0 ? 8 : 0);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    at[offset] = (unsigned char)(~sum >> 8);
    at[offset + 1] = (unsigned char)~sum;
}

/* Fills the IP header in front of `size` octets and sends both; the kernel adds lengths and checksum. */
static void send_ip(int s, unsigned char *packet, size_t header, size_t size, unsigned char protocol,
                    unsigned char ttl, uint32_t from, uint32_t destination)
{
    static const unsigned char router_alert[4] = {148, 4, 0, 0};
    struct sockaddr_in to;
    packet[0] = (unsigned char)(0x40 | header / 4);
    packet[8] = ttl;
    packet[9] = protocol;
    put32(packet + 12, from);
    put32(packet + 16, destination);
    if (header == 24)
        memcpy(packet + 20, router_alert, 4);
    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(destination);
    while (sendto(s, packet, header + size, 0, (struct sockaddr *)&to, sizeof to) < 0)
        if (errno != ENOBUFS && errno != EINTR)
            fatal("sendto");
}

void send_data(int s, uint32_t source, uint32_t group)
{
    unsigned char packet[20 + 8 + 8] = {0};
    packet[21] = packet[23] = 9; /* UDP, from the port for what is discarded to the same */
    packet[25] = 16;
    send_ip(s, packet, 20, 16, IPPROTO_UDP, 16, source, group);
}

void send_report(int s, uint32_t from, enum record kind, uint32_t group, unsigned groups, uint32_t source)
{
    unsigned char packet[24 + 8 + 12 * MOST_RECORDS] = {0}, *message = packet + 24, *at = message + 8;
    unsigned n;
    message[0] = 0x22;
    message[7] = (unsigned char)groups;
    for (n = 0; n < groups; n++, at += source == 0 ? 8 : 12) {
        at[0] = (unsigned char)kind;
        at[3] = source != 0;
        put32(at + 4, group + n);
        if (source != 0)
            put32(at + 8, source);
    }
    put_checksum(message, (size_t)(at - message), 2);
    send_ip(s, packet, 24, (size_t)(at - message), IPPROTO_IGMP, 1, from, 0xe0000016);
}

void send_hello(int s, uint32_t from)
{
    unsigned char packet[20 + 18] = {0}, *message = packet + 20;
    static const unsigned char options[] = {0, 1, 0, 2, 0, 105, 0, 20, 0, 4};
    message[0] = 0x20;
    memcpy(message + 4, options, sizeof options);
    put32(message + 14, from); /* the generation id: any number that stays */
    put_checksum(message, 18, 2);
    send_ip(s, packet, 20, 18, 103, 1, from, 0xe000000d);
}

uint32_t hear(int s, int64_t end)
{
    for (;;) {
        unsigned char packet[64];
        struct sockaddr_ll from;
        socklen_t size = sizeof from;
        ssize_t length = recvfrom(s, packet, sizeof packet, 0, (struct sockaddr *)&from, &size);
        uint32_t group;
        if (length >= 28) {
            memcpy(&group, packet + 16, 4);
            if (packet[9] == IPPROTO_UDP && from.sll_pkttype != PACKET_OUTGOING)
                return ntohl(group);
        } else if (length < 0 && errno == EAGAIN) {
            struct pollfd ready = {s, POLLIN, 0};
            int64_t left = end - now();
            struct timespec time = {left / 1000000000, left % 1000000000};
            if (left <= 0)
                return 0;
            ppoll(&ready, 1, &time, NULL);
        } else if (length < 0 && errno != EINTR) {
            fatal("recvfrom");
        }
    }
}
