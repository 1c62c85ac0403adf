#include "net.h"
#include "log.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netpacket/packet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

uint16_t ip_checksum(const uint8_t *octets, size_t size)
{
    uint32_t sum = 0;
    for (size_t n = 0; n + 1 < size; n += 2) {
        sum += get16(octets + n);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    if (size % 2 != 0)
        sum += (uint32_t)octets[size - 1] << 8;
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

uint16_t get16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }
uint32_t get32(const uint8_t *at) { return (uint32_t)get16(at) << 16 | get16(at + 2); }
void put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}
void put32(uint8_t *at, uint32_t value)
{
    put16(at, (uint16_t)(value >> 16));
    put16(at + 2, (uint16_t)value);
}
uint32_t get_address(const uint8_t *at)
{
    uint32_t address;
    memcpy(&address, at, 4);
    return address;
}
void put_address(uint8_t *at, uint32_t address) { memcpy(at, &address, 4); }

bool is_multicast(uint32_t address) { return ntohl(address) >> 28 == 14; }
bool is_link_local_group(uint32_t address) { return ntohl(address) >> 8 == 0xe00000; }
bool is_host_address(uint32_t address)
{
    uint32_t first = ntohl(address) >> 24;
    return first != 0 && first != 127 && first < 224;
}

/* True where the options after the fixed header are sound; tells whether router alert is among them. */
static bool options_sound(const uint8_t *at, size_t size, bool *router_alert)
{
    while (size > 0) {
        if (at[0] == 0) /* the end of the list */
            return true;
        if (at[0] == 1) { /* no operation */
            at++;
            size--;
            continue;
        }
        if (size < 2 || at[1] < 2 || at[1] > size)
            return false;
        if (at[0] == 148 && at[1] == 4)
            *router_alert = true;
        size -= at[1];
        at += at[1];
    }
    return true;
}

const char *ip_parse(const uint8_t *octets, size_t length, ip_packet *packet)
{
    size_t header, total;
    memset(packet, 0, sizeof *packet);
    if (length < 20)
        return "shorter than an IP header";
    if (octets[0] >> 4 != 4)
        return "not IPv4";
    header = 4 * (size_t)(octets[0] & 15);
    if (header < 20 || header > length)
        return "a wrong header length";
    if (ip_checksum(octets, header) != 0)
        return "a wrong IP checksum";
    total = get16(octets + 2);
    if (total < header || total > length)
        return "a wrong total length";
    if ((get16(octets + 6) & 0x3fff) != 0)
        return "a fragment";
    if (!options_sound(octets + 20, header - 20, &packet->router_alert))
        return "malformed IP options";
    packet->tos = octets[1];
    packet->ttl = octets[8];
    packet->protocol = octets[9];
    packet->source = get_address(octets + 12);
    packet->destination = get_address(octets + 16);
    packet->header_size = header;
    packet->data = octets + header;
    packet->size = total - header;
    return NULL;
}

int packet_socket(uint8_t protocol)
{
    /* A raw socket would not do: reports of IGMPv1 and v2 without router alert go to the multicast routing socket alone. A
     * packet socket of type DGRAM has no link header before the packet, so the protocol is octet 9. */
    struct sock_filter wanted[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, protocol, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 65535),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {sizeof wanted / sizeof *wanted, wanted};
    struct sockaddr_ll here = {.sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE_IP)};
    int room = 1 << 20;
    /* Made for no protocol and bound once the filter is there, so that nothing else comes in before. */
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    /* Many hosts answer a query at once; without the privilege the usual size has to do. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0 ||
        bind(fd, (struct sockaddr *)&here, sizeof here) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

bool packet_hear_only(int fd, unsigned index)
{
    struct sockaddr_ll here = {.sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE_IP), .sll_ifindex = (int)index};
    return bind(fd, (struct sockaddr *)&here, sizeof here) == 0;
}

long packet_read(int fd, uint8_t *buffer, size_t size, unsigned *index)
{
    for (;;) {
        struct sockaddr_ll from = {0};
        socklen_t from_size = sizeof from;
        ssize_t length = recvfrom(fd, buffer, size, 0, (struct sockaddr *)&from, &from_size);
        if (length < 0 && errno == EAGAIN)
            return -1;
        if (length < 0) {
            static log_limit limit;
            if (errno != EINTR && errno != ENETDOWN)
                log_limited(&limit, LEVEL_WARN, "reading packets: %s", strerror(errno));
            if (errno == EINTR || errno == ENETDOWN)
                continue; /* a device that went down is told once */
            return -1;
        }
        if (from.sll_pkttype == PACKET_OUTGOING || from.sll_pkttype == PACKET_OTHERHOST)
            continue;
        *index = (unsigned)from.sll_ifindex;
        return (long)length;
    }
}

int raw_socket(uint8_t protocol, bool router_alert)
{
    struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog deaf = {1, nothing};
    const uint8_t alert[4] = {148, 4, 0, 0};
    const int off = 0, one = 1, control = 0xc0; /* internetwork control: RFC 3376 section 4, RFC 7761 section 4.9 */
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &deaf, sizeof deaf) != 0 ||
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &off, sizeof off) != 0 ||
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &one, sizeof one) != 0 ||
        setsockopt(fd, IPPROTO_IP, IP_TOS, &control, sizeof control) != 0 ||
        (router_alert && setsockopt(fd, IPPROTO_IP, IP_OPTIONS, alert, sizeof alert) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

bool raw_send(int fd, const iface *i, uint32_t source, uint32_t to, const uint8_t *data, size_t size)
{
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_addr.s_addr = to};
    union {
        struct cmsghdr header;
        char octets[CMSG_SPACE(sizeof(struct in_pktinfo))];
    } control;
    struct in_pktinfo info = {.ipi_ifindex = (int)i->index, .ipi_spec_dst.s_addr = source ? source : i->address};
    struct iovec from = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    struct msghdr message = {
        .msg_name = &target, .msg_namelen = sizeof target, .msg_iov = &from, .msg_iovlen = 1,
        .msg_control = &control, .msg_controllen = sizeof control,
    };
    memset(&control, 0, sizeof control);
    control.header.cmsg_level = IPPROTO_IP;
    control.header.cmsg_type = IP_PKTINFO;
    control.header.cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(&control.header), &info, sizeof info);
    return sendmsg(fd, &message, 0) == (ssize_t)size;
}
