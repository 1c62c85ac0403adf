/* Functions of the host's that do not return: MgmHostStop goes on without them after 5 seconds, and
 * says so. Each test takes as long; so this is run once, by tools.sh, and not in each way to compile and
 * link. */
#include "check.h"
#include "mgm_host.h"
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define ALL_ONES 0xffffffffu

enum { PATIENCE = 60 }; /* seconds until a test that hangs is ended as a failure */

static int inside; /* a function of the host's has been called, and does not return */

static void hang(void)
{
    __atomic_store_n(&inside, 1, __ATOMIC_SEQ_CST);
    for (;;)
        pause();
}

static void await_inside(void)
{
    while (!__atomic_load_n(&inside, __ATOMIC_SEQ_CST))
        usleep(1000);
}

static DWORD ip(int o1, int o2, int o3, int o4)
{
    BYTE octets[4];
    DWORD address;
    octets[0] = (BYTE)o1, octets[1] = (BYTE)o2, octets[2] = (BYTE)o3, octets[3] = (BYTE)o4;
    memcpy(&address, octets, sizeof address);
    return address;
}

#define GROUP ip(239, 1, 1, 1)

static void *packet(void *unused)
{
    BYTE octets[28] = {0x45, 0, 0, 28, 0, 0, 0, 0, 16, 17};
    DWORD source = ip(10, 0, 0, 1), group = GROUP;
    memcpy(octets + 12, &source, 4);
    memcpy(octets + 16, &group, 4);
    MgmHostReceive(1, 0, octets, sizeof octets);
    return unused;
}

static DWORD keep_for_a_second(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
                               DWORD index, DWORD next_hop, BOOL member, PDWORD timeout)
{
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)index, (void)next_hop;
    if (!member)
        *timeout = 1;
    return NO_ERROR;
}

static DWORD route_that_hangs(PVOID context, DWORD source, PMGM_ROUTE route)
{
    char name[32] = "";
    (void)context;
    memset(route, 0, sizeof *route);
    route->dwIfIndex = 1;
    route->dwUpStreamNbr = route->dwRouteNetwork = source;
    route->dwRouteMask = ALL_ONES;
    pthread_getname_np(pthread_self(), name, sizeof name);
    if (strcmp(name, "mgm-timer") == 0)
        hang();
    return NO_ERROR;
}

static void transmit_that_hangs(PVOID context, DWORD index, DWORD next_hop, const BYTE *octets,
                                DWORD size)
{
    (void)context, (void)index, (void)next_hop, (void)octets, (void)size;
    hang();
}

static DWORD set_mfe_that_hangs(PVOID context, DWORD source, DWORD group, DWORD in, DWORD in_hop,
                                DWORD count, const MIB_IPMCAST_OIF *out)
{
    (void)context, (void)source, (void)group, (void)in, (void)in_hop, (void)count, (void)out;
    hang();
    return NO_ERROR;
}

static DWORD delete_mfe(PVOID context, DWORD source, DWORD group)
{
    (void)context, (void)source, (void)group;
    return NO_ERROR;
}

static int stopped;

static void count_stop(PVOID context)
{
    (void)context;
    stopped++;
}

/* Starts with a client on 1 and 2. */
static HANDLE start(const MGM_HOST_CONFIG *config)
{
    ROUTING_PROTOCOL_CONFIG callbacks;
    HANDLE client = NULL;
    alarm(PATIENCE);
    __atomic_store_n(&inside, 0, __ATOMIC_SEQ_CST);
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.pfnPruneAlertCallback = keep_for_a_second;
    CHECK_CODE(MgmHostStart(config), NO_ERROR);
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, 100, 1, &client), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(client, 1, 0), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(client, 2, 0), NO_ERROR);
    return client;
}

static char lines[2000]; /* of standard error, as long as there is room */

static int said_too(const char *text) { return strstr(lines, text) != NULL; }

/* Ends the run while a thread hangs. Whether a line of the log, or of standard error, has the text. */
static int stop_says(const char *text)
{
    FILE *errors = tmpfile();
    int standard_error = dup(2);
    size_t length;
    await_inside();
    if (!CHECK(errors != NULL && dup2(fileno(errors), 2) == 2))
        exit(1);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    dup2(standard_error, 2);
    close(standard_error);
    rewind(errors);
    length = fread(lines, 1, sizeof lines - 1, errors);
    lines[length] = 0;
    fclose(errors);
    alarm(0);
    return said_too(text);
}

static MGM_HOST_CONFIG plain(void)
{
    MGM_HOST_CONFIG config;
    memset(&config, 0, sizeof config);
    config.dwSize = (DWORD)sizeof config;
    return config;
}

static void begin_packet(void)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, packet, NULL), 0);
    pthread_detach(thread);
}

static DWORD join(HANDLE client)
{
    return MgmAddGroupMembershipEntry(client, 0, 0, GROUP, ALL_ONES, 2, 0, MGM_JOIN_STATE_FLAG);
}

static void in_a_function_of_the_host(void)
{
    MGM_HOST_CONFIG config = plain();
    config.pfnTransmit = transmit_that_hangs;
    CHECK_CODE(join(start(&config)), NO_ERROR);
    begin_packet();
    CHECK(stop_says("a function of the host's does not return"));
}

/* An entry's lifetime ends, and the timer's thread does not come out of the look-up of its route. */
static void on_the_timers_thread(void)
{
    MGM_HOST_CONFIG config = plain();
    config.pfnRoute = route_that_hangs;
    start(&config);
    packet(NULL); /* nobody is a member: it is negative */
    packet(NULL); /* and in use, so that it is built anew */
    CHECK(stop_says("the timer's thread does not return"));
}

/* The plane is stopped all the same, and the next run is kept from nothing. */
static void in_a_function_of_the_plane(void)
{
    MGM_HOST_CONFIG config = plain();
    MGM_HOST_FORWARDER table;
    memset(&table, 0, sizeof table);
    table.dwSize = (DWORD)sizeof table;
    table.pfnSetMfe = set_mfe_that_hangs;
    table.pfnDeleteMfe = delete_mfe;
    table.pfnStop = count_stop;
    config.dwForwarder = MGM_FORWARDER_CUSTOM;
    config.pForwarder = &table;
    start(&config);
    begin_packet();
    CHECK(stop_says("a function of the host's plane does not return"));
    CHECK(!said_too("timer")); /* which sleeps */
    CHECK_EQ(stopped, 1);
    config = plain();
    CHECK_CODE(join(start(&config)), NO_ERROR);
    packet(NULL);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    alarm(0);
}

int main(void)
{
    RUN(in_a_function_of_the_host);
    RUN(on_the_timers_thread);
    RUN(in_a_function_of_the_plane);
    return check_summary();
}
