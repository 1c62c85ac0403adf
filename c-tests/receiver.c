/* receiver: a receiving host. Joins and leaves groups with an ordinary socket, as it is told on
 * standard input, and prints every packet that the socket gets:
 *
 *     receiver INTERFACE PORT
 *
 *     join GROUP [SOURCE]      (printed: "joined GROUP")
 *     leave GROUP [SOURCE]     (printed: "left GROUP")
 *     sync WORD                (printed: "synced WORD", after all packets that are there already)
 *     quit
 *
 *     got GROUP from SOURCE number N
 *
 * It also looks at the link, below its own joins, to tell what the router put there:
 *
 *     link GROUP from SOURCE number N
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned interface_index;
static unsigned short port;

static void fatal(const char *what)
{
    fprintf(stderr, "receiver: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* As much as may be had, for a machine that is busy. */
static void make_room(int s)
{
    int room = 4 << 20;
    if (setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0)
        setsockopt(s, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
}

static int udp_socket(void)
{
    struct sockaddr_in here;
    int on = 1, off = 0;
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memset(&here, 0, sizeof here);
    here.sin_family = AF_INET;
    here.sin_port = htons(port);
    if (s < 0 || setsockopt(s, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) != 0 ||
        setsockopt(s, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off) != 0 ||
        bind(s, (struct sockaddr *)&here, sizeof here) != 0)
        fatal("UDP socket");
    make_room(s);
    return s;
}

static int link_socket(void)
{
    struct sockaddr_ll here;
    int s = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memset(&here, 0, sizeof here);
    here.sll_family = AF_PACKET;
    here.sll_protocol = htons(ETH_P_IP);
    here.sll_ifindex = (int)interface_index;
    if (s < 0 || bind(s, (struct sockaddr *)&here, sizeof here) != 0)
        fatal("packet socket (it needs CAP_NET_RAW)");
    make_room(s);
    return s;
}

static void print_packet(const char *what, struct in_addr group, struct in_addr source,
                         const char *payload, int length)
{
    char g[INET_ADDRSTRLEN], s[INET_ADDRSTRLEN];
    printf("%s %s from %s number %.*s\n", what, inet_ntop(AF_INET, &group, g, sizeof g),
           inet_ntop(AF_INET, &source, s, sizeof s), length, payload);
}

/* Reads one packet; 0: there is none now. */
static int read_udp(int s)
{
    char payload[64];
    union {
        char bytes[256];
        struct cmsghdr aligned;
    } control;
    struct sockaddr_in from;
    struct in_addr group;
    struct iovec into;
    struct msghdr m;
    struct cmsghdr *c;
    ssize_t length;
    into.iov_base = payload;
    into.iov_len = sizeof payload;
    memset(&m, 0, sizeof m);
    memset(&group, 0, sizeof group);
    m.msg_name = &from;
    m.msg_namelen = sizeof from;
    m.msg_iov = &into;
    m.msg_iovlen = 1;
    m.msg_control = control.bytes;
    m.msg_controllen = sizeof control.bytes;
    length = recvmsg(s, &m, MSG_DONTWAIT);
    if (length < 0 && errno == EAGAIN)
        return 0;
    if (length < 0)
        fatal("recvmsg");
    for (c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            group = info.ipi_addr;
        }
    }
    print_packet("got", group, from.sin_addr, payload, (int)length);
    return 1;
}

static int read_link(int s)
{
    unsigned char packet[2048];
    struct sockaddr_ll from;
    socklen_t from_size = sizeof from;
    ssize_t length = recvfrom(s, packet, sizeof packet, MSG_DONTWAIT, (struct sockaddr *)&from,
                              &from_size);
    struct in_addr group, source;
    unsigned short to;
    size_t header;
    if (length < 0 && errno == EAGAIN)
        return 0;
    if (length < 0)
        fatal("recvfrom");
    header = 4 * (size_t)(packet[0] & 15);
    if (from.sll_pkttype == PACKET_OUTGOING || length < 28 || packet[9] != IPPROTO_UDP ||
        header < 20 || (size_t)length < header + 8)
        return 1;
    memcpy(&source, packet + 12, 4);
    memcpy(&group, packet + 16, 4);
    memcpy(&to, packet + header + 2, 2);
    if (to == htons(port))
        print_packet("link", group, source, (char *)packet + header + 8,
                     (int)((size_t)length - header - 8));
    return 1;
}

static void change(int s, const char *command, const char *group, const char *source)
{
    int join = strcmp(command, "join") == 0, result;
    struct in_addr g, from;
    if (inet_pton(AF_INET, group, &g) != 1 ||
        (source != NULL && inet_pton(AF_INET, source, &from) != 1)) {
        fprintf(stderr, "receiver: %s %s: not an address\n", command, group);
        exit(1);
    }
    if (source == NULL) {
        struct ip_mreqn request;
        memset(&request, 0, sizeof request);
        request.imr_multiaddr = g;
        request.imr_ifindex = (int)interface_index;
        result = setsockopt(s, IPPROTO_IP, join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, &request,
                            sizeof request);
    } else {
        struct group_source_req request;
        struct sockaddr_in *of = (struct sockaddr_in *)&request.gsr_group;
        memset(&request, 0, sizeof request);
        request.gsr_interface = interface_index;
        of->sin_family = AF_INET;
        of->sin_addr = g;
        of = (struct sockaddr_in *)&request.gsr_source;
        of->sin_family = AF_INET;
        of->sin_addr = from;
        result = setsockopt(s, IPPROTO_IP, join ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP,
                            &request, sizeof request);
    }
    if (result != 0)
        fatal(command);
    printf("%s %s\n", join ? "joined" : "left", group);
}

/* Commands come whole lines at a time: whoever writes them writes a line at once. */
static int read_commands(int s, int link)
{
    char text[256];
    ssize_t length = read(STDIN_FILENO, text, sizeof text - 1);
    char *line, *rest = text;
    if (length <= 0)
        return 0;
    text[length] = 0;
    while ((line = strtok_r(rest, "\n", &rest)) != NULL) {
        char command[16] = "", group[32] = "", source[32] = "";
        int words = sscanf(line, "%15s %31s %31s", command, group, source);
        if (words == 1 && strcmp(command, "quit") == 0)
            return 0;
        if (words == 2 && strcmp(command, "sync") == 0) {
            while (read_link(link) || read_udp(s))
                ;
            printf("synced %s\n", group);
            continue;
        }
        if (words < 2 || (strcmp(command, "join") != 0 && strcmp(command, "leave") != 0)) {
            fprintf(stderr, "receiver: unknown command: %s\n", line);
            exit(1);
        }
        change(s, command, group, words == 3 ? source : NULL);
    }
    return 1;
}

int main(int argc, char **argv)
{
    struct pollfd waits[3];
    unsigned long number = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    if (number == 0 || number > 65535) {
        fprintf(stderr, "usage: receiver INTERFACE PORT\n");
        return 2;
    }
    port = (unsigned short)number;
    interface_index = if_nametoindex(argv[1]);
    if (interface_index == 0)
        fatal(argv[1]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    waits[0].fd = STDIN_FILENO;
    waits[1].fd = udp_socket();
    waits[2].fd = link_socket();
    waits[0].events = waits[1].events = waits[2].events = POLLIN;
    printf("ready\n");
    for (;;) {
        if (poll(waits, 3, -1) < 0 && errno != EINTR)
            fatal("poll");
        if (waits[2].revents != 0)
            read_link(waits[2].fd);
        if (waits[1].revents != 0)
            read_udp(waits[1].fd);
        if (waits[0].revents != 0 && !read_commands(waits[1].fd, waits[2].fd))
            return 0;
    }
}
