/* How much stack a call needs, the thread's own block (which lies on it) included: no more than the
 * manual promises. MGM_STACK=1 in the environment shows the figures. Not for valgrind, which takes the
 * stack of a thread that has ended for memory that nobody may read; so this is run by tools.sh. */
#include "host.h"
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum {
    ROOM = 1 << 20,
    CALL = 32 * 1024,         /* what is promised for a call, */
    START_OR_STOP = 64 * 1024 /* and for one that starts or ends the library */
};

#define G1 the_group()
#define JOIN MGM_JOIN_STATE_FLAG

static unsigned char *stack;
static DWORD (*what)(void);
static DWORD code;

static void *do_it(void *unused)
{
    code = what();
    return unused;
}

/* The octets of its stack that a thread has written to when it has made a call. */
static size_t used_by(DWORD (*call)(void))
{
    pthread_attr_t attributes;
    pthread_t thread;
    size_t untouched = 0;
    what = call;
    memset(stack, 0xa5, ROOM);
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstack(&attributes, stack, ROOM) == 0);
    if (CHECK(pthread_create(&thread, &attributes, do_it, NULL) == 0))
        pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    while (untouched < ROOM && stack[untouched] == 0xa5)
        untouched++;
    return ROOM - untouched;
}

/* ---- the callbacks do nothing ------------------------------------------------------------------ */

static DWORD rpf(DWORD s, DWORD sm, DWORD g, DWORD gm, PDWORD index, PDWORD hop, PDWORD upstream,
                 DWORD size, PBYTE header, PBYTE route)
{
    (void)s, (void)sm, (void)g, (void)gm, (void)index, (void)hop, (void)upstream, (void)size;
    (void)header, (void)route;
    return NO_ERROR;
}
static DWORD creation(DWORD s, DWORD sm, DWORD g, DWORD gm, DWORD index, DWORD hop, DWORD count,
                      PMGM_IF_ENTRY list)
{
    (void)s, (void)sm, (void)g, (void)gm, (void)index, (void)hop, (void)count, (void)list;
    return NO_ERROR;
}
static DWORD prune(DWORD s, DWORD sm, DWORD g, DWORD gm, DWORD index, DWORD hop, BOOL member,
                   PDWORD timeout)
{
    (void)s, (void)sm, (void)g, (void)gm, (void)index, (void)hop, (void)member, (void)timeout;
    return NO_ERROR;
}
static DWORD join(DWORD s, DWORD sm, DWORD g, DWORD gm, BOOL member)
{
    (void)s, (void)sm, (void)g, (void)gm, (void)member;
    return NO_ERROR;
}
static DWORD wrong(DWORD s, DWORD g, DWORD index, DWORD hop, DWORD size, PBYTE header)
{
    (void)s, (void)g, (void)index, (void)hop, (void)size, (void)header;
    return NO_ERROR;
}
static DWORD local(DWORD s, DWORD sm, DWORD g, DWORD gm, DWORD index, DWORD hop)
{
    (void)s, (void)sm, (void)g, (void)gm, (void)index, (void)hop;
    return NO_ERROR;
}
static DWORD igmp(DWORD index, DWORD hop)
{
    (void)index, (void)hop;
    return NO_ERROR;
}
static DWORD route(PVOID unused, DWORD source, PMGM_ROUTE to)
{
    (void)unused;
    fill_route(source, to);
    return NO_ERROR;
}
static void transmit(PVOID unused, DWORD index, DWORD hop, const BYTE *packet, DWORD size)
{
    (void)unused, (void)index, (void)hop, (void)packet, (void)size;
}
static void on_log(PVOID unused, DWORD level, const char *line)
{
    (void)unused, (void)level, (void)line;
}

/* ---- the calls --------------------------------------------------------------------------------- */

static MGM_HOST_CONFIG host;
static ROUTING_PROTOCOL_CONFIG callbacks = {
    0, rpf, creation, prune, join, wrong, local, local, igmp, igmp,
};
static HANDLE a, b, i, rows;
static DWORD size, count;
static BYTE buffer[1 << 16];
static MIB_IPMCAST_MFE key;

static BYTE *room(void)
{
    size = sizeof buffer;
    return buffer;
}

static DWORD c_start(void) { return MgmHostStart(&host); }
static DWORD c_register_a(void) { return MgmRegisterMProtocol(&callbacks, 1, 1, &a); }
static DWORD c_register_b(void) { return MgmRegisterMProtocol(&callbacks, 2, 1, &b); }
static DWORD c_register_i(void) { return MgmRegisterMProtocol(&callbacks, MS_IP_IGMP, 1, &i); }
static DWORD c_take_igmp(void) { return MgmTakeInterfaceOwnership(i, 3, 0); }
static DWORD c_take(void) { return MgmTakeInterfaceOwnership(a, 1, 0); }
static DWORD c_take_2(void) { return MgmTakeInterfaceOwnership(b, 2, 0); }
static DWORD c_take_beside(void) { return MgmTakeInterfaceOwnership(b, 3, 0); }
static DWORD c_add(void)
{
    return MgmAddGroupMembershipEntry(b, 0, 0, G1, ALL_ONES, 2, 0, JOIN | MGM_FORWARD_STATE_FLAG);
}
static DWORD c_add_igmp(void)
{
    return MgmAddGroupMembershipEntry(i, 0, 0, G1, ALL_ONES, 3, 0, JOIN);
}
static DWORD c_refused(void) { return MgmTakeInterfaceOwnership(a, 2, 0); }
static DWORD c_packet(void) { return packet_from(1); }
static DWORD c_get(void) { return MgmGetMfe(&key, &size, room()); }
static DWORD c_first(void) { return MgmGetFirstMfe(&size, room(), &count); }
static DWORD c_next(void) { return MgmGetNextMfe(&key, &size, room(), &count); }
static DWORD c_stats(void) { return MgmGetMfeStats(&key, &size, room(), MGM_MFE_STATS_1); }
static DWORD c_first_stats(void)
{
    return MgmGetFirstMfeStats(&size, room(), &count, MGM_MFE_STATS_1);
}
static DWORD c_next_stats(void)
{
    return MgmGetNextMfeStats(&key, &size, room(), &count, MGM_MFE_STATS_0);
}
static DWORD c_set(void) { return MgmSetMfe(a, &key); }
static DWORD c_rows(void) { return MgmGroupEnumerationStart(a, ALL_SOURCES, &rows); }
static DWORD c_next_rows(void) { return MgmGroupEnumerationGetNext(rows, &size, room(), &count); }
static DWORD c_end_rows(void) { return MgmGroupEnumerationEnd(rows); }
static DWORD c_owner(void) { return MgmGetProtocolOnInterface(1, 0, &size, &count); }
static DWORD c_state(void) { return MgmHostGetState(&size, room()); }
static DWORD c_routes(void) { return MgmHostRouteChanged(0, 0); }
static DWORD c_down(void) { return MgmHostInterfaceDown(2, 0); }
static DWORD c_delete(void)
{
    return MgmDeleteGroupMembershipEntry(b, 0, 0, G1, ALL_ONES, 2, 0, JOIN);
}
static DWORD c_release(void) { return MgmReleaseInterfaceOwnership(b, 3, 0); }
static DWORD c_release_2(void) { return MgmReleaseInterfaceOwnership(b, 2, 0); }
static DWORD c_deregister(void) { return MgmDeRegisterMProtocol(b); }
static DWORD c_stop(void) { return MgmHostStop(); }

typedef struct step {
    const char *name;
    DWORD (*call)(void);
    DWORD code;
    size_t limit;
} step;

static void no_call_needs_more(const step *steps, size_t n)
{
    size_t most = 0;
    for (; n > 0; n--, steps++) {
        size_t used = used_by(steps->call);
        CHECK_CODE(code, steps->code);
        if (getenv("MGM_STACK") != NULL)
            printf("  %6zu octets: %s\n", used, steps->name);
        if (!CHECK(used <= steps->limit))
            printf("  %s needs %zu octets of stack, more than %zu\n", steps->name, used, steps->limit);
        most = used > most ? used : most;
    }
    CHECK(most > 4096); /* it was looked at */
}

static void calls_on_the_memory_forwarder(void)
{
    static const step steps[] = {
        {"MgmHostStart", c_start, NO_ERROR, START_OR_STOP},
        {"MgmRegisterMProtocol", c_register_a, NO_ERROR, CALL},
        {"MgmRegisterMProtocol", c_register_b, NO_ERROR, CALL},
        {"MgmRegisterMProtocol", c_register_i, NO_ERROR, CALL},
        {"MgmTakeInterfaceOwnership", c_take, NO_ERROR, CALL},
        {"MgmTakeInterfaceOwnership", c_take_2, NO_ERROR, CALL},
        {"MgmTakeInterfaceOwnership by IGMP", c_take_igmp, NO_ERROR, CALL},
        {"MgmTakeInterfaceOwnership beside IGMP", c_take_beside, NO_ERROR, CALL},
        {"MgmTakeInterfaceOwnership that fails", c_refused, ERROR_ALREADY_EXISTS, CALL},
        {"MgmAddGroupMembershipEntry", c_add, NO_ERROR, CALL},
        {"MgmAddGroupMembershipEntry by IGMP", c_add_igmp, NO_ERROR, CALL},
        {"MgmHostReceive", c_packet, NO_ERROR, CALL},
        {"MgmHostReceive again", c_packet, NO_ERROR, CALL},
        {"MgmGetMfe", c_get, NO_ERROR, CALL},
        {"MgmGetFirstMfe", c_first, ERROR_NO_MORE_ITEMS, CALL},
        {"MgmGetNextMfe", c_next, ERROR_NO_MORE_ITEMS, CALL},
        {"MgmGetMfeStats", c_stats, NO_ERROR, CALL},
        {"MgmGetFirstMfeStats", c_first_stats, ERROR_NO_MORE_ITEMS, CALL},
        {"MgmGetNextMfeStats", c_next_stats, ERROR_NO_MORE_ITEMS, CALL},
        {"MgmSetMfe", c_set, NO_ERROR, CALL},
        {"MgmGroupEnumerationStart", c_rows, NO_ERROR, CALL},
        {"MgmGroupEnumerationGetNext", c_next_rows, ERROR_NO_MORE_ITEMS, CALL},
        {"MgmGroupEnumerationEnd", c_end_rows, NO_ERROR, CALL},
        {"MgmGetProtocolOnInterface", c_owner, NO_ERROR, CALL},
        {"MgmHostGetState", c_state, NO_ERROR, CALL},
        {"MgmHostRouteChanged", c_routes, NO_ERROR, CALL},
        {"MgmHostInterfaceDown", c_down, NO_ERROR, CALL},
        {"MgmDeleteGroupMembershipEntry", c_delete, NO_ERROR, CALL},
        {"MgmReleaseInterfaceOwnership beside IGMP", c_release, NO_ERROR, CALL},
        {"MgmReleaseInterfaceOwnership", c_release_2, NO_ERROR, CALL},
        {"MgmDeRegisterMProtocol", c_deregister, NO_ERROR, CALL},
        {"MgmHostStop", c_stop, NO_ERROR, START_OR_STOP},
    };
    host = plain_host();
    host.dwLogLevel = MGM_LOG_TRACE; /* every line is put together */
    host.pfnLog = on_log;
    host.pfnRoute = route;
    host.pfnTransmit = transmit;
    key.dwSource = ip4(10, 0, 0, 1);
    key.dwGroup = G1;
    no_call_needs_more(steps, sizeof steps / sizeof steps[0]);
}

/* From the environment, by the first registration. */
static void a_registration_that_starts_the_library(void)
{
    static const step steps[] = {
        {"MgmRegisterMProtocol, the first", c_register_a, NO_ERROR, START_OR_STOP},
        {"MgmHostStop", c_stop, NO_ERROR, START_OR_STOP},
    };
    setenv("MGM_FORWARDER", "memory", 1);
    no_call_needs_more(steps, sizeof steps / sizeof steps[0]);
}

/* In a network namespace of its own, where one can be made. */
static void the_kernel_forwarder(void)
{
    static const step steps[] = {
        {"MgmHostStart, kernel", c_start, NO_ERROR, START_OR_STOP},
        {"MgmRegisterMProtocol", c_register_a, NO_ERROR, CALL},
        {"MgmRegisterMProtocol", c_register_i, NO_ERROR, CALL},
        {"MgmTakeInterfaceOwnership that fails", c_take_igmp, ERROR_CAN_NOT_COMPLETE, CALL},
        {"MgmHostGetState", c_state, NO_ERROR, CALL},
        {"MgmHostStop", c_stop, NO_ERROR, START_OR_STOP},
    };
    int status = 0;
    pid_t child;
    fflush(stdout);
    child = fork();
    if (child == 0) {
        check_wrong = 0;
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0 && unshare(CLONE_NEWNET) != 0)
            _exit(77);
        host = plain_host();
        host.dwForwarder = MGM_FORWARDER_KERNEL;
        no_call_needs_more(steps, sizeof steps / sizeof steps[0]);
        fflush(stdout);
        _exit(check_wrong != 0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        printf("skipped: no network namespace can be made: the kernel forwarder's stack\n");
    else
        CHECK_EQ(WEXITSTATUS(status), 0);
}

int main(void)
{
    stack = (unsigned char *)mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(stack != MAP_FAILED);
    RUN(calls_on_the_memory_forwarder);
    RUN(a_registration_that_starts_the_library);
    RUN(the_kernel_forwarder);
    return check_summary();
}
