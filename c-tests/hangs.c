/* Code that does not return. Functions of the host's: MgmHostStop goes on without them after 5 seconds, and
 * says so. A client's callback: nothing waits for the client any more, once it was waited for as long. Each test takes as long; so this is run once, by tools.sh, and not in each way to compile and
 * link. */
#include "host.h"
#include <arpa/inet.h>
#include <time.h>

enum { PATIENCE = 60 }; /* seconds until a test that hangs is ended as a failure */

static int inside; /* a function of the host's has been called, and does not return */

static void hang(void)
{
    set(&inside, 1);
    for (;;)
        pause();
}

static void *packet(void *unused)
{
    packet_from(1);
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
    fill_route(source, route);
    pthread_getname_np(pthread_self(), name, sizeof name);
    if (strcmp(name, "mgm-pool") == 0)
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
    set(&inside, 0);
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.pfnPruneAlertCallback = keep_for_a_second;
    CHECK_CODE(MgmHostStart(config), NO_ERROR);
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, 100, 1, &client), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(client, 1, 0), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(client, 2, 0), NO_ERROR);
    return client;
}

static const char *said; /* of the end, on standard error */

/* Ends the run while a thread hangs. Whether standard error hears of that. */
static int stop_says(const char *text)
{
    await(&inside);
    keep_errors();
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    said = kept_errors();
    alarm(0);
    return strstr(said, text) != NULL;
}

/* What goes wrong is logged to standard error. */
static MGM_HOST_CONFIG plain(void)
{
    MGM_HOST_CONFIG config = plain_host();
    config.dwLogLevel = MGM_LOG_ERROR;
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
    return MgmAddGroupMembershipEntry(client, 0, 0, the_group(), ALL_ONES, 2, 0, MGM_JOIN_STATE_FLAG);
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
    CHECK(stop_says("a thread does not return"));
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
    CHECK(strstr(said, "timer") == NULL); /* which sleeps */
    CHECK_EQ(stopped, 1);
    config = plain();
    CHECK_CODE(join(start(&config)), NO_ERROR);
    packet(NULL);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    alarm(0);
}

static int may_return;

static DWORD join_that_hangs(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, BOOL member)
{
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)member;
    set(&inside, 1);
    await(&may_return);
    return NO_ERROR;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void *join_on_1(void *client)
{
    CHECK_CODE(MgmAddGroupMembershipEntry(client, 0, 0, htonl(0xe8010101), ALL_ONES, 1, 0,
                                          MGM_JOIN_STATE_FLAG),
               NO_ERROR);
    return NULL;
}

/* A client that does not come out of a callback is waited for once, by calls and by packets alike; the
 * log says so once. */
static void a7_a_client_is_waited_for_once(void)
{
    MGM_HOST_CONFIG config = plain();
    ROUTING_PROTOCOL_CONFIG callbacks;
    HANDLE client, hung;
    pthread_t thread;
    const char *line;
    double begun;
    DWORD k;
    config.dwLogLevel = MGM_LOG_WARN;
    client = start(&config);
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.pfnJoinAlertCallback = join_that_hangs;
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, 101, 7, &hung), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(hung, 3, 0), NO_ERROR);
    CHECK_CODE(MgmAddGroupMembershipEntry(hung, 0, 0, the_group(), ALL_ONES, 3, 0,
                                          MGM_JOIN_STATE_FLAG),
               NO_ERROR);
    CHECK_EQ(pthread_create(&thread, NULL, join_on_1, client), 0);
    await(&inside);
    keep_errors();
    CHECK_CODE(MgmAddGroupMembershipEntry(client, 0, 0, htonl(0xe8010102), ALL_ONES, 1, 0,
                                          MGM_JOIN_STATE_FLAG),
               NO_ERROR); /* this one waits */
    begun = seconds();
    for (k = 3; k < 7; k++)
        CHECK_CODE(MgmAddGroupMembershipEntry(client, 0, 0, htonl(0xe8010100 + k), ALL_ONES, 1, 0,
                                              MGM_JOIN_STATE_FLAG),
                   NO_ERROR);
    packet(NULL); /* the creation alert goes to the one that hangs */
    CHECK_CODE(MgmReleaseInterfaceOwnership(client, 1, 0), NO_ERROR);
    CHECK(seconds() - begun < 4);
    said = kept_errors();
    line = strstr(said, "protocol 0x65 component 0x7 has been inside a callback for 5 s");
    CHECK(line != NULL && strstr(line + 40, "inside a callback") == NULL); /* one line */
    set(&may_return, 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    alarm(0);
}

static pthread_mutex_t of_the_program = PTHREAD_MUTEX_INITIALIZER;
static int joins_heard;

static DWORD join_that_locks(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, BOOL member)
{
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)member;
    set(&inside, 1);
    pthread_mutex_lock(&of_the_program);
    __atomic_add_fetch(&joins_heard, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&of_the_program);
    return NO_ERROR;
}

/* The rule for locks: a call that is made with a lock held that a callback takes stalls, 5 s, while the
 * callback waits for the lock on another thread, and goes on without it. The alert is not lost. (Where
 * the callback runs on the calling thread itself, nothing can help.) */
static void a_lock_across_a_call_stalls_it(void)
{
    MGM_HOST_CONFIG config = plain();
    ROUTING_PROTOCOL_CONFIG callbacks;
    HANDLE client, locks;
    pthread_t thread;
    double begun;
    client = start(&config);
    set(&inside, 0);
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.pfnJoinAlertCallback = join_that_locks;
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, 101, 8, &locks), NO_ERROR);
    pthread_mutex_lock(&of_the_program);
    begun = seconds(); /* the 5 s begin before this thread goes on */
    CHECK_EQ(pthread_create(&thread, NULL, join_on_1, client), 0);
    await(&inside); /* its callback waits for the lock, on that thread */
    CHECK_CODE(MgmAddGroupMembershipEntry(client, 0, 0, htonl(0xe8010102), ALL_ONES, 1, 0,
                                          MGM_JOIN_STATE_FLAG),
               NO_ERROR);
    CHECK(seconds() - begun > 3 && seconds() - begun < 20);
    CHECK_EQ(__atomic_load_n(&joins_heard, __ATOMIC_SEQ_CST), 0);
    pthread_mutex_unlock(&of_the_program);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    begun = seconds();
    while (__atomic_load_n(&joins_heard, __ATOMIC_SEQ_CST) < 2 && seconds() - begun < 20)
        usleep(1000);
    CHECK_EQ(joins_heard, 2);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    alarm(0);
}

int main(void)
{
    RUN(a7_a_client_is_waited_for_once);
    RUN(a_lock_across_a_call_stalls_it);
    RUN(in_a_function_of_the_host);
    RUN(on_the_timers_thread);
    RUN(in_a_function_of_the_plane);
    return check_summary();
}
