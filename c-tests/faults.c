/* Rule A5 from C: a fault inside each function gives ERROR_CAN_NOT_COMPLETE, every later call too,
 * and nothing is unwound through C's frames. Needs a libmgm built with the feature
 * fault-injection, in which MGM_FAULT names the function that is to meet a fault. A fault closes
 * the library for good, so each function has a process of its own. */
#include "fixture.h"
#include <sys/wait.h>
#include <unistd.h>

static HANDLE rows;
static const DWORD on_1[] = {1, 0};
static const DWORD on_2[] = {2, 0};

static void stage(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_CODE(MgmGroupEnumerationStart(A.handle, ALL_SOURCES, &rows), NO_ERROR);
    forget_all();
}

/* ---- the 25 functions, each with arguments that would do (but no client here is dispatched) ---- */

static BYTE buffer[256];
static DWORD size, count;
static int descriptor;
static HANDLE out;
static MIB_IPMCAST_MFE key;

static DWORD c_register(void) { return MgmRegisterMProtocol(&C.config, C.protocol, 1, &out); }
static DWORD c_deregister(void) { return MgmDeRegisterMProtocol(A.handle); }
static DWORD c_take(void) { return take(&A, 3); }
static DWORD c_release(void) { return release(&A, 1); }
static DWORD c_owner(void) { return MgmGetProtocolOnInterface(1, 0, &count, &count); }
static DWORD c_add(void) { return add(&A, "*", G2, 1, JOIN); }
static DWORD c_delete(void) { return drop(&B, "*", G1, 2, JOIN); }
static DWORD c_mfe(void) { return MgmGetMfe(&key, &size, buffer); }
static DWORD c_first(void) { return MgmGetFirstMfe(&size, buffer, &count); }
static DWORD c_next(void) { return MgmGetNextMfe(&key, &size, buffer, &count); }
static DWORD c_stats(void) { return MgmGetMfeStats(&key, &size, buffer, MGM_MFE_STATS_0); }
static DWORD c_firststats(void) { return MgmGetFirstMfeStats(&size, buffer, &count, MGM_MFE_STATS_1); }
static DWORD c_nextstats(void)
{
    return MgmGetNextMfeStats(&key, &size, buffer, &count, MGM_MFE_STATS_0);
}
static DWORD c_set(void) { return MgmSetMfe(A.handle, &key); }
static DWORD c_enumstart(void) { return MgmGroupEnumerationStart(A.handle, ANY_SOURCE, &out); }
static DWORD c_enumnext(void) { return MgmGroupEnumerationGetNext(rows, &size, buffer, &count); }
static DWORD c_enumend(void) { return MgmGroupEnumerationEnd(rows); }
static DWORD c_start(void)
{
    MGM_HOST_CONFIG config;
    memset(&config, 0, sizeof config);
    config.dwSize = (DWORD)sizeof config;
    return MgmHostStart(&config);
}
static DWORD c_stop(void) { return MgmHostStop(); }
static DWORD c_receive(void) { return packet_in(1, S1, G1); }
static DWORD c_route(void) { return route_changed(1); }
static DWORD c_down(void) { return MgmHostInterfaceDown(1, 0); }
static DWORD c_state(void) { return MgmHostGetState(&size, buffer); }
static DWORD c_descriptor(void) { return MgmHostGetClientFd(A.handle, &descriptor); }
static DWORD c_dispatch(void) { return MgmHostDispatch(A.handle); }

static const struct {
    const char *name;
    DWORD (*call)(void);
} functions[] = {
    {"MgmRegisterMProtocol", c_register},
    {"MgmDeRegisterMProtocol", c_deregister},
    {"MgmTakeInterfaceOwnership", c_take},
    {"MgmReleaseInterfaceOwnership", c_release},
    {"MgmGetProtocolOnInterface", c_owner},
    {"MgmAddGroupMembershipEntry", c_add},
    {"MgmDeleteGroupMembershipEntry", c_delete},
    {"MgmGetMfe", c_mfe},
    {"MgmGetFirstMfe", c_first},
    {"MgmGetNextMfe", c_next},
    {"MgmGetMfeStats", c_stats},
    {"MgmGetFirstMfeStats", c_firststats},
    {"MgmGetNextMfeStats", c_nextstats},
    {"MgmSetMfe", c_set},
    {"MgmGroupEnumerationStart", c_enumstart},
    {"MgmGroupEnumerationGetNext", c_enumnext},
    {"MgmGroupEnumerationEnd", c_enumend},
    {"MgmHostStart", c_start},
    {"MgmHostStop", c_stop},
    {"MgmHostReceive", c_receive},
    {"MgmHostRouteChanged", c_route},
    {"MgmHostInterfaceDown", c_down},
    {"MgmHostGetState", c_state},
    {"MgmHostGetClientFd", c_descriptor},
    {"MgmHostDispatch", c_dispatch},
};
enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

/* The call fails and writes nothing. */
static void in_vain(unsigned n)
{
    size_t at;
    size = sizeof buffer;
    count = 7;
    descriptor = -1;
    out = NULL;
    memset(buffer, 0xa5, sizeof buffer);
    memset(&key, 0, sizeof key);
    key.dwSource = ip(S1);
    key.dwGroup = ip(G1);
    if (!CHECK_CODE(functions[n].call(), ERROR_CAN_NOT_COMPLETE))
        printf("  in %s\n", functions[n].name);
    CHECK(size == sizeof buffer && count == 7 && descriptor == -1 && out == NULL);
    for (at = 0; at < sizeof buffer; at++)
        if (!CHECK(buffer[at] == 0xa5))
            break;
}

static void all_in_vain(void)
{
    unsigned n;
    unsetenv("MGM_FAULT");
    for (n = 0; n < FUNCTIONS; n++)
        in_vain(n);
    CHECK_LINES(A, ""); /* and no client is called any more */
    CHECK_LINES(B, "");
}

/* Runs in a child: a fault in function `n`. */
static void fault_in(unsigned n)
{
    stage();
    setenv("MGM_FAULT", functions[n].name, 1);
    in_vain(n);
    all_in_vain();
}

/* A fault right after a client's callback, deep in a call, with the library's own frames of the
 * callback's caller above C's. */
static void fault_after_a_callback(unsigned n)
{
    (void)n;
    stage();
    setenv("MGM_FAULT", "answer", 1);
    CHECK_CODE(drop(&B, "*", G1, 2, JOIN), ERROR_CAN_NOT_COMPLETE);
    CHECK_LINES(A, "PRUNE (*,239.1.1.1) if 2 member\n");
    all_in_vain();
}

static DWORD inner_code;
static void call_with_a_fault(client *who, callback_kind kind, DWORD index)
{
    (void)who, (void)kind, (void)index;
    setenv("MGM_FAULT", "MgmGetFirstMfe", 1);
    inner_code = c_first();
}

/* A fault in a call from inside a callback: C's callback goes on, and the outer call fails too. */
static void fault_inside_a_callback(unsigned n)
{
    (void)n;
    stage();
    A.hook = call_with_a_fault;
    CHECK_CODE(drop(&B, "*", G1, 2, JOIN), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(inner_code, ERROR_CAN_NOT_COMPLETE);
    forget_all();
    all_in_vain();
}

/* Runs a body in a child and takes over what it found. */
static void in_a_child(void (*body)(unsigned), unsigned n)
{
    int status = 0;
    pid_t child;
    fflush(stdout);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(60);
        body(n);
        fflush(stdout);
        _exit(check_wrong != 0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    if (!CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0))
        printf("  the process of %s ended with status %#x\n", functions[n].name, (unsigned)status);
}

static void a5_a_fault_in_each_function(void)
{
    unsigned n;
    for (n = 0; n < FUNCTIONS; n++)
        in_a_child(fault_in, n);
}

static void a5_a_fault_after_a_callback(void) { in_a_child(fault_after_a_callback, 0); }
static void a5_a_fault_inside_a_callback(void) { in_a_child(fault_inside_a_callback, 0); }

int main(void)
{
    RUN(a5_a_fault_in_each_function);
    RUN(a5_a_fault_after_a_callback);
    RUN(a5_a_fault_inside_a_callback);
    return check_summary();
}
