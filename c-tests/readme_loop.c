/* A routing protocol around one poll loop: neighbours' messages, a timer, and libmgm's callbacks, all
 * on the program's only thread. No locks.
 *
 *     loop INTERFACE...
 */
#include <arpa/inet.h>
#include <mgm_host.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { PORT = 5100 }; /* of this protocol, which nobody else speaks */

static void must(DWORD code, const char *call)
{
    if (code != NO_ERROR) {
        fprintf(stderr, "%s gave %u\n", call, (unsigned)code); /* the log says why */
        exit(1);
    }
}

static void check(int result, const char *call)
{
    if (result < 0) {
        perror(call);
        exit(1);
    }
}

/* Another client has members: a real protocol would now send a join to its upstream neighbour. */
static DWORD join_alert(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, BOOL member)
{
    struct in_addr in;
    (void)source, (void)source_mask, (void)group_mask;
    in.s_addr = group;
    if (member)
        printf("group %s is wanted\n", inet_ntoa(in));
    return NO_ERROR;
}

static void hear_neighbour(int neighbours)
{
    char text[64];
    ssize_t length = recv(neighbours, text, sizeof text, 0);
    if (length > 0)
        printf("a neighbour says %.*s\n", (int)length, text);
}

/* A real protocol would now tell its neighbours that it is there. */
static void on_time(int timer)
{
    uint64_t times;
    if (read(timer, &times, sizeof times) == (ssize_t)sizeof times)
        printf("a second has passed\n");
}

static void loop(HANDLE me, int neighbours, int timer)
{
    struct pollfd waits[] = {{neighbours, POLLIN, 0}, {timer, POLLIN, 0}, {-1, POLLIN, 0}};

    must(MgmHostGetClientFd(me, &waits[2].fd), "MgmHostGetClientFd");
    while (poll(waits, 3, -1) > 0) {
        if (waits[0].revents)
            hear_neighbour(neighbours);
        if (waits[1].revents)
            on_time(timer);
        if (waits[2].revents && MgmHostDispatch(me) != NO_ERROR) /* our callbacks run in here */
            return; /* with MGM_HOST: the host has gone */
    }
}

int main(int argc, char **argv)
{
    ROUTING_PROTOCOL_CONFIG config = {0};
    struct itimerspec each_second = {{1, 0}, {1, 0}};
    struct sockaddr_in here = {0};
    int n, timer, neighbours;
    HANDLE me;

    setvbuf(stdout, NULL, _IOLBF, 0);
    config.dwCallbackFlags = MGM_DISPATCHED;
    config.pfnJoinAlertCallback = join_alert;
    must(MgmRegisterMProtocol(&config, PROTOCOL_ID(PROTO_TYPE_MCAST, 0x3fff, 8), 1, &me),
         "MgmRegisterMProtocol");
    for (n = 1; n < argc; n++)
        must(MgmTakeInterfaceOwnership(me, if_nametoindex(argv[n]), 0), argv[n]);

    here.sin_family = AF_INET;
    here.sin_port = htons(PORT);
    neighbours = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    check(neighbours, "socket");
    check(bind(neighbours, (struct sockaddr *)&here, sizeof here), "bind");
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    check(timer, "timerfd_create");
    check(timerfd_settime(timer, 0, &each_second, NULL), "timerfd_settime");
    loop(me, neighbours, timer);
    printf("the host has gone\n");
    return 1;
}
