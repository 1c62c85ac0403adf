/* sender: a source host. Sends numbered UDP packets to a multicast group.
 *
 *     sender INTERFACE FROM GROUP PORT FIRST COUNT PER-SECOND
 *
 * FROM is an address of this host; the packets leave by INTERFACE, with TTL 16. Each carries
 * its number, from FIRST on, as text. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static unsigned long number(const char *text, unsigned long most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text == 0 || *end != 0 || value == 0 || value > most) {
        fprintf(stderr, "sender: %s: a number from 1 to %lu is wanted\n", text, most);
        exit(2);
    }
    return value;
}

static void fatal(const char *what)
{
    fprintf(stderr, "sender: %s: %s\n", what, strerror(errno));
    exit(1);
}

int main(int argc, char **argv)
{
    struct sockaddr_in from, to;
    struct ip_mreqn via;
    unsigned char ttl = 16;
    unsigned long first, count, rate, n;
    struct timespec next;
    int s;
    if (argc != 8) {
        fprintf(stderr, "usage: sender INTERFACE FROM GROUP PORT FIRST COUNT PER-SECOND\n");
        return 2;
    }
    memset(&from, 0, sizeof from);
    memset(&to, 0, sizeof to);
    memset(&via, 0, sizeof via);
    via.imr_ifindex = (int)if_nametoindex(argv[1]);
    if (via.imr_ifindex == 0)
        fatal(argv[1]);
    from.sin_family = to.sin_family = AF_INET;
    if (inet_pton(AF_INET, argv[2], &from.sin_addr) != 1 ||
        inet_pton(AF_INET, argv[3], &to.sin_addr) != 1) {
        fprintf(stderr, "sender: FROM and GROUP are IPv4 addresses\n");
        return 2;
    }
    to.sin_port = htons((unsigned short)number(argv[4], 65535));
    first = number(argv[5], 1000000000);
    count = number(argv[6], 1000000);
    rate = number(argv[7], 100000);

    s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0 || bind(s, (struct sockaddr *)&from, sizeof from) != 0 ||
        setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &via, sizeof via) != 0 ||
        setsockopt(s, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof ttl) != 0)
        fatal(argv[2]);
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (n = first; n < first + count; n++) {
        char text[16];
        int length = snprintf(text, sizeof text, "%lu", n);
        if (sendto(s, text, (size_t)length, 0, (struct sockaddr *)&to, sizeof to) != length)
            fatal("sendto");
        if (n + 1 == first + count)
            break;
        next.tv_nsec += (long)(1000000000 / rate); /* the rate */
        if (next.tv_nsec >= 1000000000) {
            next.tv_nsec -= 1000000000;
            next.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
    return 0;
}
