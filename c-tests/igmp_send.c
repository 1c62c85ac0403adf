/* igmp_send: sends one hand-made IGMP packet, in the name of any host on the link.
 *
 *     igmp_send [-a] INTERFACE FROM v1|v2|leave GROUP
 *     igmp_send [-a] INTERFACE FROM is_in|is_ex|to_in|to_ex|allow|block GROUP [SOURCE...]
 *     igmp_send [-a] INTERFACE FROM raw DESTINATION HEX-OCTETS
 *     igmp_send [-a] INTERFACE FROM ip PROTOCOL TTL DESTINATION HEX-OCTETS
 *
 * -a leaves the router alert option out. IGMP_TTL in the environment is another TTL than 1. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned char packet[1500];
static size_t header = 24, length; /* of the message after the header */
static unsigned char protocol = IPPROTO_IGMP, ttl = 1;

static void usage(void)
{
    fprintf(stderr, "usage: igmp_send [-a] INTERFACE FROM "
                    "v1|v2|leave|is_in|is_ex|to_in|to_ex|allow|block|raw|ip GROUP [...]\n");
    exit(2);
}

static void address(unsigned char *to, const char *text)
{
    if (inet_pton(AF_INET, text, to) != 1)
        usage();
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

static const char *message(int argc, char **argv)
{
    static const char *const records[] = {"is_in", "is_ex", "to_in", "to_ex", "allow", "block"};
    unsigned char *m = packet + header;
    int n, any = strcmp(argv[0], "ip") == 0 && argc == 5;
    if (any) {
        protocol = (unsigned char)strtoul(argv[1], NULL, 10);
        ttl = (unsigned char)strtoul(argv[2], NULL, 10);
        argv += 2;
    }
    if (any || (strcmp(argv[0], "raw") == 0 && argc == 3)) {
        unsigned octet;
        const char *hex = argv[2];
        while (length < 1000 && sscanf(hex, "%2x", &octet) == 1) {
            m[length++] = (unsigned char)octet;
            hex += 2;
        }
        if (*hex != 0)
            usage();
        return argv[1];
    }
    if (strcmp(argv[0], "v1") == 0 || strcmp(argv[0], "v2") == 0 || strcmp(argv[0], "leave") == 0) {
        m[0] = argv[0][0] == 'l' ? 0x17 : argv[0][1] == '1' ? 0x12 : 0x16;
        address(m + 4, argv[1]);
        length = 8;
        put_checksum(m, length, 2);
        return m[0] == 0x17 ? "224.0.0.2" : argv[1];
    }
    for (n = 0; n < 6 && strcmp(argv[0], records[n]) != 0; n++)
        ;
    if (n == 6 || argc - 2 > 200)
        usage();
    m[0] = 0x22;
    m[7] = 1;
    m[8] = (unsigned char)(n + 1);
    m[11] = (unsigned char)(argc - 2);
    address(m + 12, argv[1]);
    length = 16;
    for (n = 2; n < argc; n++, length += 4)
        address(m + length, argv[n]);
    put_checksum(m, length, 2);
    return "224.0.0.22";
}

/* From 0.0.0.0 to a group: on a raw socket the kernel would fill in an address of its own. */
static int send_without_address(int index)
{
    struct sockaddr_ll to;
    int s = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memset(&to, 0, sizeof to);
    to.sll_family = AF_PACKET;
    to.sll_protocol = htons(ETHERTYPE_IP);
    to.sll_ifindex = index;
    to.sll_halen = 6;
    to.sll_addr[0] = 1;
    to.sll_addr[2] = 0x5e;
    to.sll_addr[3] = packet[17] & 0x7f;
    memcpy(to.sll_addr + 4, packet + 18, 2);
    if (s < 0 || sendto(s, packet, header + length, 0, (struct sockaddr *)&to, sizeof to) < 0) {
        fprintf(stderr, "igmp_send: %s\n", strerror(errno));
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const unsigned char router_alert[4] = {148, 4, 0, 0};
    struct ip_mreqn via;
    struct sockaddr_in to;
    const char *destination;
    int s, on = 1;
    if (argc > 1 && strcmp(argv[1], "-a") == 0) {
        header = 20;
        argc--;
        argv++;
    }
    if (argc < 5)
        usage();
    memset(&via, 0, sizeof via);
    via.imr_ifindex = (int)if_nametoindex(argv[1]);
    if (via.imr_ifindex == 0)
        usage();
    destination = message(argc - 3, argv + 3);
    packet[0] = (unsigned char)(0x40 | header / 4);
    packet[2] = (unsigned char)((header + length) >> 8);
    packet[3] = (unsigned char)(header + length);
    packet[8] = getenv("IGMP_TTL") ? (unsigned char)atoi(getenv("IGMP_TTL")) : ttl;
    packet[9] = protocol;
    address(packet + 12, argv[2]);
    address(packet + 16, destination);
    if (header == 24)
        memcpy(packet + 20, router_alert, 4);
    put_checksum(packet, header, 10);
    if (memcmp(packet + 12, "\0\0\0", 4) == 0)
        return send_without_address(via.imr_ifindex);

    s = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    memcpy(&to.sin_addr, packet + 16, 4);
    if (s < 0 || setsockopt(s, IPPROTO_IP, IP_HDRINCL, &on, sizeof on) != 0 ||
        setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &via, sizeof via) != 0 ||
        sendto(s, packet, header + length, 0, (struct sockaddr *)&to, sizeof to) < 0) {
        fprintf(stderr, "igmp_send: %s\n", strerror(errno));
        return 1;
    }
    return 0;
}
