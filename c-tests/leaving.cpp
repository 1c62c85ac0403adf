/* Callbacks that are left by a C++ exception or by the end of their thread (pthread_exit, pthread_cancel):
 * each ends the process, with a line that says so. None gets through to the program's own handler, which would
 * find the library half-way through a call. Each case in a process of its own. */
#include "host.h"

#include <csetjmp>
#include <csignal>
#include <stdexcept>
#include <sys/wait.h>

enum way { RETURNS, THROWS, ENDS_THREAD, IS_CANCELLED };

static way how;
static const char *from; /* the callback that is left */
static bool was_called, in_library_s_thread;
static pthread_t main_thread;

static void leave(const char *callback)
{
    if (strcmp(callback, from) != 0)
        return;
    if (in_library_s_thread && pthread_equal(pthread_self(), main_thread))
        return;
    was_called = true;
    if (how == THROWS)
        throw std::runtime_error(callback);
    if (how == ENDS_THREAD)
        pthread_exit(NULL);
    if (how == IS_CANCELLED) {
        pthread_cancel(pthread_self());
        pthread_testcancel();
    }
}

static DWORD rpf(DWORD, DWORD, DWORD, DWORD, PDWORD, PDWORD, PDWORD, DWORD, PBYTE, PBYTE)
{
    leave("rpf");
    return NO_ERROR;
}
static DWORD creation(DWORD, DWORD, DWORD, DWORD, DWORD, DWORD, DWORD, PMGM_IF_ENTRY)
{
    leave("creation");
    return NO_ERROR;
}
static DWORD prune(DWORD, DWORD, DWORD, DWORD, DWORD, DWORD, BOOL member, PDWORD timeout)
{
    if (!member)
        *timeout = 1; /* the entry ends in a second, on the library's own thread */
    leave("prune");
    return NO_ERROR;
}
static DWORD join(DWORD, DWORD, DWORD, DWORD, BOOL)
{
    leave("join");
    return NO_ERROR;
}
static DWORD wrong_if(DWORD, DWORD, DWORD, DWORD, DWORD, PBYTE)
{
    leave("wrong_if");
    return NO_ERROR;
}
static DWORD local_join(DWORD, DWORD, DWORD, DWORD, DWORD, DWORD)
{
    leave("local_join");
    return NO_ERROR;
}
static DWORD local_leave(DWORD, DWORD, DWORD, DWORD, DWORD, DWORD)
{
    leave("local_leave");
    return NO_ERROR;
}
static DWORD disable(DWORD, DWORD)
{
    leave("disable");
    return NO_ERROR;
}
static DWORD enable(DWORD, DWORD)
{
    leave("enable");
    return NO_ERROR;
}
static DWORD route(PVOID, DWORD source, PMGM_ROUTE to)
{
    fill_route(source, to);
    leave("route");
    return NO_ERROR;
}
static void transmit(PVOID, DWORD, DWORD, const BYTE *, DWORD) { leave("transmit"); }
static void on_log(PVOID, DWORD, const char *) { leave("log"); }
static ULONGLONG read_clock(PVOID)
{
    leave("clock");
    return 1000;
}
static DWORD add_interface(PVOID, DWORD, DWORD)
{
    leave("add_interface");
    return NO_ERROR;
}
static void remove_interface(PVOID, DWORD, DWORD) { leave("remove_interface"); }
static DWORD set_mfe(PVOID, DWORD, DWORD, DWORD, DWORD, DWORD, const MIB_IPMCAST_OIF *)
{
    leave("set_mfe");
    return NO_ERROR;
}
static DWORD delete_mfe(PVOID, DWORD, DWORD)
{
    leave("delete_mfe");
    return NO_ERROR;
}
static DWORD get_counters(PVOID, DWORD, DWORD, PMGM_MFE_COUNTERS)
{
    leave("get_counters");
    return NO_ERROR;
}
static void stop(PVOID) { leave("stop"); }

/* A packet from 10.0.0.1 comes in on an interface. */
static void packet_on(DWORD arrival)
{
    BYTE octets[28] = {0x45, 0, 0, 28, 0, 0, 0, 0, 16, 17};
    const DWORD source = ip4(10, 0, 0, 1), group = the_group();
    memcpy(octets + 12, &source, 4);
    memcpy(octets + 16, &group, 4);
    MgmHostReceive(arrival, 0, octets, sizeof octets);
}

static DWORD change(DWORD (*function)(HANDLE, DWORD, DWORD, DWORD, DWORD, DWORD, DWORD, DWORD), HANDLE client,
                    DWORD index)
{
    return function(client, 0, 0, the_group(), ALL_ONES, index, 0, MGM_JOIN_STATE_FLAG);
}

static void start(bool custom, bool clock)
{
    static MGM_HOST_FORWARDER plane;
    MGM_HOST_CONFIG config = plain_host();
    config.dwLogLevel = MGM_LOG_TRACE;
    config.pfnLog = on_log;
    config.pfnRoute = route;
    config.pfnTransmit = transmit;
    config.pfnClock = clock ? read_clock : NULL;
    if (custom) {
        plane.dwSize = (DWORD)sizeof plane;
        plane.pfnAddInterface = add_interface;
        plane.pfnRemoveInterface = remove_interface;
        plane.pfnSetMfe = set_mfe;
        plane.pfnDeleteMfe = delete_mfe;
        plane.pfnGetMfeCounters = get_counters;
        plane.pfnStop = stop;
        config.dwForwarder = MGM_FORWARDER_CUSTOM;
        config.pForwarder = &plane;
    }
    MgmHostStart(&config);
}

/* Calls in the course of which each callback comes. */
static void everything(bool custom, bool clock)
{
    ROUTING_PROTOCOL_CONFIG config = {0,        rpf,        creation,    prune,   join,
                                      wrong_if, local_join, local_leave, disable, enable};
    HANDLE a, b, igmp;
    DWORD size = 0, count = 0;
    start(custom, clock);
    MgmRegisterMProtocol(&config, 1, 1, &a);
    MgmRegisterMProtocol(&config, 2, 1, &b);
    MgmRegisterMProtocol(&config, MS_IP_IGMP, 1, &igmp);
    MgmTakeInterfaceOwnership(igmp, 3, 0);
    MgmTakeInterfaceOwnership(a, 1, 0);
    MgmTakeInterfaceOwnership(b, 2, 0);
    MgmTakeInterfaceOwnership(b, 3, 0);
    change(MgmAddGroupMembershipEntry, b, 2);
    change(MgmAddGroupMembershipEntry, igmp, 3);
    packet_on(1);
    packet_on(2);
    MgmGetFirstMfeStats(&size, NULL, &count, MGM_MFE_STATS_0);
    change(MgmDeleteGroupMembershipEntry, igmp, 3);
    change(MgmDeleteGroupMembershipEntry, b, 2);
    MgmReleaseInterfaceOwnership(a, 1, 0);
    MgmHostStop();
}

/* An entry whose lifetime has ended is made anew on a thread of the library's, with an RPF callback. */
static void on_a_thread_of_the_library(void)
{
    ROUTING_PROTOCOL_CONFIG config;
    HANDLE a;
    memset(&config, 0, sizeof config);
    config.pfnRpfCallback = rpf;
    config.pfnPruneAlertCallback = prune;
    in_library_s_thread = true;
    start(false, false);
    MgmRegisterMProtocol(&config, 1, 1, &a);
    MgmTakeInterfaceOwnership(a, 1, 0);
    while (!was_called) { /* an alarm ends it */
        packet_on(1);
        usleep(10000);
    }
    MgmHostStop();
}

/* How a process ended in which `run` was tried, and what it wrote to standard error. */
static int status_of(void (*run)(void), char *text, size_t room)
{
    int status = 0, errors_of[2];
    size_t used = 0;
    ssize_t n;
    pid_t child;
    if (!CHECK(pipe(errors_of) == 0))
        return -1;
    fflush(stdout);
    child = fork();
    if (child == 0) {
        alarm(60);
        main_thread = pthread_self();
        dup2(errors_of[1], 2);
        close(errors_of[1]);
        try {
            run();
        } catch (...) {
            _exit(3); /* it got through */
        }
        _exit(was_called ? 0 : 4);
    }
    close(errors_of[1]);
    while (used + 1 < room && (n = read(errors_of[0], text + used, room - 1 - used)) > 0)
        used += (size_t)n;
    text[used] = 0;
    close(errors_of[0]);
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

static void check_each_way(const char *callback, void (*run)(void))
{
    static char text[1 << 16];
    int status;
    from = callback;
    how = RETURNS;
    status = status_of(run, text, sizeof text);
    if (!CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0))
        printf("  %s returns: status %#x\n", callback, (unsigned)status);
    for (int n = THROWS; n <= IS_CANCELLED; n++) {
        how = (way)n;
        status = status_of(run, text, sizeof text);
        if (!CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) ||
            !CHECK(strstr(text, "mgm: error: a callback was left") != NULL))
            printf("  %s, way %d: status %#x: %s\n", callback, n, (unsigned)status, text);
    }
}

static void in_memory(void) { everything(false, false); }
static void with_a_clock(void) { everything(false, true); }
static void in_a_plane(void) { everything(true, false); }

static void a_client_s_callbacks(void)
{
    static const char *const callbacks[] = {"rpf",        "creation",    "prune",   "join",  "wrong_if",
                                            "local_join", "local_leave", "disable", "enable"};
    for (const char *callback : callbacks)
        check_each_way(callback, in_memory);
}

static void a_host_s_functions(void)
{
    static const char *const functions[] = {"route", "transmit", "log"};
    for (const char *function : functions)
        check_each_way(function, in_memory);
    check_each_way("clock", with_a_clock);
}

static void a_plane_s_functions(void)
{
    static const char *const functions[] = {"add_interface", "remove_interface", "set_mfe",
                                            "delete_mfe",    "get_counters",     "stop"};
    for (const char *function : functions)
        check_each_way(function, in_a_plane);
}

static void on_the_library_s_threads(void)
{
    check_each_way("rpf", on_a_thread_of_the_library);
}

/* longjmp runs nothing on its way, so the library cannot notice it: the client counts as one that is
 * still inside its callback, hears nothing more, and is waited for once. */
static jmp_buf before_the_call;
static int joins_heard;

static DWORD join_that_jumps(DWORD, DWORD, DWORD, DWORD, BOOL)
{
    joins_heard++;
    longjmp(before_the_call, 1);
    return NO_ERROR;
}

static void *join_groups(void *client)
{
    for (DWORD n = 1; n < 4; n++)
        CHECK_CODE(MgmAddGroupMembershipEntry(client, 0, 0, ip4(239, 2, 2, (int)n), ALL_ONES, 2, 0,
                                              MGM_JOIN_STATE_FLAG),
                   NO_ERROR);
    return NULL;
}

static void longjmp_goes_unnoticed(void)
{
    static HANDLE jumps, joins; /* static: they keep their values over the jump */
    ROUTING_PROTOCOL_CONFIG config;
    MGM_HOST_CONFIG host = plain_host();
    pthread_t thread;
    memset(&config, 0, sizeof config);
    CHECK_CODE(MgmHostStart(&host), NO_ERROR);
    CHECK_CODE(MgmRegisterMProtocol(&config, 2, 1, &joins), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(joins, 2, 0), NO_ERROR);
    config.pfnJoinAlertCallback = join_that_jumps;
    CHECK_CODE(MgmRegisterMProtocol(&config, 1, 1, &jumps), NO_ERROR);
    if (setjmp(before_the_call) == 0) {
        change(MgmAddGroupMembershipEntry, joins, 2);
        CHECK(!"it jumped");
    }
    CHECK_EQ(pthread_create(&thread, NULL, join_groups, joins), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(joins_heard, 1);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

int main(void)
{
    RUN(longjmp_goes_unnoticed);
    RUN(a_client_s_callbacks);
    RUN(a_host_s_functions);
    RUN(a_plane_s_functions);
    RUN(on_the_library_s_threads);
    return check_summary();
}
