/* capture: writes what passes an interface into a pcap file, for tests that have others' programs look at it, and prints it:
 *
 *     capture INTERFACE FILE [PROTOCOL]
 *
 * Prints "ready", and for each packet "10.0.0.1 > 224.0.0.1 ttl 1 options 94040000 data 1164ee9b00000000". SIGTERM ends it. PROTOCOL: of IP, such as 2 for IGMP; what is sent is written as well as what is received. */
#include <errno.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <arpa/inet.h>

/* The IPv4 packet in an Ethernet frame. */
static void print(const unsigned char *frame, size_t size)
{
    const unsigned char *ip = frame + 14;
    size_t header = (ip[0] & 15u) * 4u, length = (size_t)ip[2] << 8 | ip[3];
    if (frame[12] != 8 || frame[13] != 0 || header < 20 || length < header || length > size - 14)
        return;
    printf("%u.%u.%u.%u > %u.%u.%u.%u ttl %u options ", ip[12], ip[13], ip[14], ip[15], ip[16], ip[17], ip[18], ip[19], ip[8]);
    for (size_t n = 20; n < length; n++)
        printf("%s%02x", n == header ? (header == 20 ? "none data " : " data ") : "", ip[n]);
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const uint32_t head[6] = {0xa1b2c3d4, 4u << 16 | 2, 0, 0, 65535, 1}; /* version 2.4, Ethernet; in this machine's order */
    struct sockaddr_ll here = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    int protocol = argc > 3 ? atoi(argv[3]) : 0, s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    uint16_t version[2] = {2, 4};
    FILE *file;
    if (argc < 3 || (here.sll_ifindex = (int)if_nametoindex(argv[1])) == 0) {
        fprintf(stderr, "usage: capture INTERFACE FILE [PROTOCOL]\n");
        return 2;
    }
    file = fopen(argv[2], "we");
    if (s < 0 || bind(s, (struct sockaddr *)&here, sizeof here) != 0 || file == NULL) {
        fprintf(stderr, "capture: %s\n", strerror(errno));
        return 1;
    }
    fwrite(&head[0], 4, 1, file);
    fwrite(version, 4, 1, file);
    fwrite(&head[2], 4, 4, file);
    fflush(file);
    puts("ready");
    fflush(stdout);
    for (;;) {
        static unsigned char frame[65536];
        ssize_t size = recv(s, frame, sizeof frame, 0);
        struct timespec now;
        uint32_t record[4];
        if (size < 34 || (protocol != 0 && (frame[12] != 8 || frame[13] != 0 || frame[23] != protocol)))
            continue;
        clock_gettime(CLOCK_REALTIME, &now);
        record[0] = (uint32_t)now.tv_sec;
        record[1] = (uint32_t)(now.tv_nsec / 1000);
        record[2] = record[3] = (uint32_t)size;
        fwrite(record, sizeof record, 1, file);
        fwrite(frame, (size_t)size, 1, file);
        fflush(file);
        print(frame, (size_t)size);
    }
}
