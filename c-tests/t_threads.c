/* Rules A6 to A8: calls from inside callbacks and from many threads, order, and the end. */
#include "fixture.h"
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

enum { PATIENCE = 120 }; /* seconds until a test that hangs is ended as a failure */

static const DWORD on_1[] = {1, 0};
static const DWORD on_2[] = {2, 0};
static const DWORD on_1_2[] = {1, 2, 0};
static const DWORD on_none[] = {0};

/* ---- A6: everything from inside every callback ---------------------------------------------- */

static int kinds_seen; /* a bit for each callback_kind that the hook ran in */
static const client *seen_by[ON_ENABLE + 1]; /* and the client it first ran for */

static void read_everything(void)
{
    BYTE buffer[256];
    MIB_IPMCAST_MFE key;
    DWORD size, count, protocol, component;
    memset(&key, 0, sizeof key);
    key.dwSource = ip(S1);
    key.dwGroup = ip(G1);
    size = sizeof buffer;
    MgmGetMfe(&key, &size, buffer);
    size = sizeof buffer;
    MgmGetFirstMfe(&size, buffer, &count);
    size = sizeof buffer;
    MgmGetNextMfe(&key, &size, buffer, &count);
    size = sizeof buffer;
    MgmGetMfeStats(&key, &size, buffer, MGM_MFE_STATS_0);
    size = sizeof buffer;
    MgmGetFirstMfeStats(&size, buffer, &count, MGM_MFE_STATS_1);
    size = sizeof buffer;
    MgmGetNextMfeStats(&key, &size, buffer, &count, MGM_MFE_STATS_1);
    MgmGetProtocolOnInterface(1, 0, &protocol, &component);
}

/* Calls all seventeen functions, on behalf of `who` and of a client of its own, once in each kind
 * of callback (what it does causes alerts in turn). Everything that it changes it changes back. */
static void call_everything(client *who, callback_kind kind, DWORD index)
{
    ROUTING_PROTOCOL_CONFIG none;
    HANDLE other = NULL, rows = NULL;
    MIB_IPMCAST_MFE mfe;
    BYTE buffer[64];
    DWORD size = sizeof buffer, count = 0, mine = 50 + (DWORD)kind;
    (void)index;
    if (__atomic_fetch_or(&kinds_seen, 1 << kind, __ATOMIC_SEQ_CST) & (1 << kind))
        return;
    seen_by[kind] = who;
    memset(&none, 0, sizeof none);
    CHECK_CODE(MgmRegisterMProtocol(&none, 4711, (DWORD)kind, &other), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(other, mine, 0), NO_ERROR);
    CHECK_CODE(MgmAddGroupMembershipEntry(other, 0, 0, ip(G3), ALL_ONES, mine, 0, JOIN | FORWARD),
               NO_ERROR);
    read_everything();
    CHECK_CODE(MgmGroupEnumerationStart(who->handle, ALL_SOURCES, &rows), NO_ERROR);
    CHECK(MgmGroupEnumerationGetNext(rows, &size, buffer, &count) != ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGroupEnumerationEnd(rows), NO_ERROR);
    CHECK_CODE(MgmDeleteGroupMembershipEntry(other, 0, 0, ip(G3), ALL_ONES, mine, 0,
                                             JOIN | FORWARD), NO_ERROR);
    memset(&mfe, 0, sizeof mfe);
    mfe.dwSource = ip(S1);
    mfe.dwGroup = ip(G2);
    CHECK_CODE(MgmSetMfe(who->handle, &mfe), ERROR_NOT_FOUND);
    CHECK_CODE(MgmReleaseInterfaceOwnership(other, mine, 0), NO_ERROR);
    CHECK_CODE(MgmDeRegisterMProtocol(other), NO_ERROR);
}

static void a6_any_function_from_inside_any_callback(void)
{
    start_host();
    kinds_seen = 0;
    A.hook = B.hook = IGMP.hook = call_everything;
    alarm(PATIENCE);
    enrol_with(&A, on_1);
    enrol_with(&IGMP, on_2);
    enrol_with(&B, on_2);                                 /* DISABLE_IGMP, ENABLE_IGMP */
    CHECK_CODE(add(&IGMP, "*", G1, 2, JOIN), NO_ERROR);   /* LOCAL_JOIN */
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);      /* JOIN */
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);           /* RPF, CREATE, JOIN */
    CHECK_CODE(packet_in(2, S1, G1), NO_ERROR);           /* WRONG_IF */
    CHECK_CODE(drop(&IGMP, "*", G1, 2, JOIN), NO_ERROR);  /* LOCAL_LEAVE */
    CHECK_CODE(drop(&B, "*", G1, 2, JOIN), NO_ERROR);     /* PRUNE */
    alarm(0);
    CHECK_EQ(kinds_seen, (1 << (ON_ENABLE + 1)) - 1);
    CHECK(seen_by[ON_RPF] == &A && seen_by[ON_CREATE] == &B && seen_by[ON_DISABLE] == &IGMP);
    stop_host();
}

static void add_again(client *who, callback_kind kind, DWORD index)
{
    if (kind == ON_LOCAL_JOIN)
        CHECK_CODE(add(who, "*", G1, index, JOIN), NO_ERROR);
    else if (kind == ON_LOCAL_LEAVE)
        CHECK_CODE(drop(who, "*", G1, index, JOIN), NO_ERROR);
}

static void a7_alerts_have_come_when_the_call_returns(void)
{
    start_host();
    enrol_with(&A, on_1_2);
    enrol_with(&B, on_none);
    enrol_with(&IGMP, on_2);
    A.hook = add_again; /* a call made inside a callback */
    CHECK_CODE(add(&IGMP, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "LOCAL_JOIN (*,239.1.1.1) if 2\n");
    CHECK_LINES(B, "JOIN (*,239.1.1.1) member\n");
    CHECK_CODE(drop(&IGMP, "*", G1, 2, JOIN), NO_ERROR);
    CHECK_LINES(A, "LOCAL_LEAVE (*,239.1.1.1) if 2\n");
    CHECK_LINES(B, "PRUNE (*,239.1.1.1) if 2 member\n");
    stop_host();
}

/* ---- A7: one at a time and in order, whichever threads cause them ---------------------------- */

#ifndef MGM_ROUNDS /* fewer under tools that are slow */
#define MGM_ROUNDS 300
#endif

enum { WRITERS = 4, ROUNDS = MGM_ROUNDS };
static int inside_b, overlaps, disorder;
static int wanted[WRITERS]; /* what B's alerts last said of 239.2.0.(n+1) */

static void note(DWORD group, int join)
{
    unsigned n = (ntohl(group) & 255) - 1;
    if (__atomic_add_fetch(&inside_b, 1, __ATOMIC_SEQ_CST) != 1)
        __atomic_add_fetch(&overlaps, 1, __ATOMIC_SEQ_CST);
    if (n < WRITERS) {
        if (wanted[n] == join)
            disorder++;
        wanted[n] = join;
    }
    sched_yield();
    __atomic_sub_fetch(&inside_b, 1, __ATOMIC_SEQ_CST);
}

static DWORD note_join(DWORD s, DWORD sm, DWORD g, DWORD gm, BOOL member)
{
    (void)s, (void)sm, (void)gm, (void)member;
    note(g, 1);
    return 0;
}

static DWORD note_prune(DWORD s, DWORD sm, DWORD g, DWORD gm, DWORD i, DWORD h, BOOL member,
                        PDWORD timeout)
{
    (void)s, (void)sm, (void)gm, (void)i, (void)h, (void)member, (void)timeout;
    note(g, 0);
    return 0;
}

static void *write_one_group(void *argument)
{
    int n = *(int *)argument, round;
    char group[32];
    snprintf(group, sizeof group, "239.2.0.%d", n + 1);
    for (round = 0; round < ROUNDS; round++) {
        CHECK_CODE(add(&A, "*", group, 1, JOIN), NO_ERROR);
        CHECK_EQ(__atomic_load_n(&wanted[n], __ATOMIC_SEQ_CST), 1); /* delivered on return */
        CHECK_CODE(drop(&A, "*", group, 1, JOIN), NO_ERROR);
        CHECK_EQ(__atomic_load_n(&wanted[n], __ATOMIC_SEQ_CST), 0);
    }
    if (n % 2 == 0)
        CHECK_CODE(add(&A, "*", group, 1, JOIN), NO_ERROR);
    return NULL;
}

static void a7_one_at_a_time_and_in_order(void)
{
    pthread_t threads[WRITERS];
    int numbers[WRITERS], n;
    start_host();
    enrol_with(&A, on_1);
    memset(&B.config, 0, sizeof B.config);
    B.config.pfnJoinAlertCallback = note_join;
    B.config.pfnPruneAlertCallback = note_prune;
    enrol_with(&B, on_none);
    inside_b = overlaps = disorder = 0;
    memset(wanted, 0, sizeof wanted);
    alarm(PATIENCE);
    for (n = 0; n < WRITERS; n++) {
        numbers[n] = n;
        CHECK_EQ(pthread_create(&threads[n], NULL, write_one_group, &numbers[n]), 0);
    }
    for (n = 0; n < WRITERS; n++)
        pthread_join(threads[n], NULL);
    alarm(0);
    CHECK_EQ(overlaps, 0);
    CHECK_EQ(disorder, 0);
    for (n = 0; n < WRITERS; n++)
        CHECK_EQ(wanted[n], n % 2 == 0); /* the last alert tells the present state */
    stop_host();
}

/* Several threads change the same group: the last alert still tells the state. */
static void *fight_over_a_group(void *argument)
{
    client *who = (client *)argument;
    int round;
    for (round = 0; round < ROUNDS; round++) {
        CHECK_CODE(add(who, "*", "239.2.0.1", who == &A ? 1 : 2, JOIN), NO_ERROR);
        CHECK_CODE(drop(who, "*", "239.2.0.1", who == &A ? 1 : 2, JOIN), NO_ERROR);
    }
    if (who == &A)
        CHECK_CODE(add(who, "*", "239.2.0.1", 1, JOIN), NO_ERROR);
    return NULL;
}

static void a7_the_last_alert_tells_the_state(void)
{
    pthread_t one, two;
    int round;
    for (round = 0; round < 3; round++) {
        start_host();
        enrol_with(&A, on_1);
        enrol_with(&C, on_2);
        memset(&B.config, 0, sizeof B.config);
        B.config.pfnJoinAlertCallback = note_join;
        B.config.pfnPruneAlertCallback = note_prune;
        enrol_with(&B, on_none);
        inside_b = overlaps = disorder = 0;
        memset(wanted, 0, sizeof wanted);
        alarm(PATIENCE);
        CHECK_EQ(pthread_create(&one, NULL, fight_over_a_group, &A), 0);
        CHECK_EQ(pthread_create(&two, NULL, fight_over_a_group, &C), 0);
        pthread_join(one, NULL);
        pthread_join(two, NULL);
        alarm(0);
        /* B has seen each 0-to-1 and 1-to-0 of N, in turn, and nothing else. */
        CHECK_EQ(overlaps, 0);
        CHECK_EQ(disorder, 0);
        CHECK_EQ(wanted[0], 1);
        stop_host();
    }
}

/* ---- A8: after MgmDeRegisterMProtocol -------------------------------------------------------- */

static int alive, calls_after_the_end, running;

static void only_while_alive(void)
{
    __atomic_add_fetch(&running, 1, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&alive, __ATOMIC_SEQ_CST))
        __atomic_add_fetch(&calls_after_the_end, 1, __ATOMIC_SEQ_CST);
    sched_yield();
    __atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
}

static DWORD alive_join(DWORD s, DWORD sm, DWORD g, DWORD gm, BOOL member)
{
    (void)s, (void)sm, (void)g, (void)gm, (void)member;
    only_while_alive();
    return 0;
}

static DWORD alive_prune(DWORD s, DWORD sm, DWORD g, DWORD gm, DWORD i, DWORD h, BOOL member,
                         PDWORD timeout)
{
    (void)s, (void)sm, (void)g, (void)gm, (void)i, (void)h, (void)member, (void)timeout;
    only_while_alive();
    return 0;
}

static int go_on;
static void *keep_changing(void *argument)
{
    (void)argument;
    while (__atomic_load_n(&go_on, __ATOMIC_SEQ_CST)) {
        CHECK_CODE(add(&A, "*", G1, 1, JOIN), NO_ERROR);
        CHECK_CODE(drop(&A, "*", G1, 1, JOIN), NO_ERROR);
    }
    return NULL;
}

static void a8_no_callback_after_deregistering(void)
{
    pthread_t thread;
    int round;
    start_host();
    enrol_with(&A, on_1);
    memset(&B.config, 0, sizeof B.config);
    B.config.pfnJoinAlertCallback = alive_join;
    B.config.pfnPruneAlertCallback = alive_prune;
    calls_after_the_end = running = 0;
    go_on = 1;
    alarm(PATIENCE);
    CHECK_EQ(pthread_create(&thread, NULL, keep_changing, NULL), 0);
    for (round = 0; round < ROUNDS; round++) {
        __atomic_store_n(&alive, 1, __ATOMIC_SEQ_CST);
        CHECK_CODE(enrol(&B), NO_ERROR);
        sched_yield();
        CHECK_CODE(MgmDeRegisterMProtocol(B.handle), NO_ERROR);
        CHECK_EQ(__atomic_load_n(&running, __ATOMIC_SEQ_CST), 0);
        __atomic_store_n(&alive, 0, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&go_on, 0, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    alarm(0);
    CHECK_EQ(calls_after_the_end, 0);
    stop_host();
}

static DWORD own_end = 1;
static int alerts_after_own_end;
static void end_oneself(client *who, callback_kind kind, DWORD index)
{
    (void)index;
    if (kind != ON_JOIN)
        return;
    if (own_end == NO_ERROR)
        alerts_after_own_end++;
    else
        own_end = MgmDeRegisterMProtocol(who->handle);
}

static void a8_deregistering_from_inside_the_own_callback(void)
{
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_none);
    B.hook = end_oneself;
    own_end = 1;
    alerts_after_own_end = 0;
    alarm(PATIENCE);
    CHECK_CODE(add(&A, "*", G1, 1, JOIN), NO_ERROR);
    CHECK_CODE(own_end, NO_ERROR);
    CHECK_CODE(add(&A, "*", G2, 1, JOIN), NO_ERROR);
    alarm(0);
    CHECK_EQ(alerts_after_own_end, 0);
    CHECK_LINES(B, "JOIN (*,239.1.1.1) member\n");
    CHECK_CODE(MgmDeRegisterMProtocol(B.handle), ERROR_INVALID_PARAMETER);
    stop_host();
}

/* MgmHostStop waits for a callback that is running, and for no longer than it runs. */
static int inside_callback, hold_callback, complaints;

static void stay_inside(client *who, callback_kind kind, DWORD index)
{
    (void)who, (void)kind, (void)index;
    __atomic_store_n(&inside_callback, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&hold_callback, __ATOMIC_SEQ_CST))
        sched_yield();
    __atomic_store_n(&inside_callback, 0, __ATOMIC_SEQ_CST);
}

static void count_complaints(PVOID context, DWORD level, const char *message)
{
    (void)context;
    if (level <= MGM_LOG_WARN) {
        printf("  logged: %s\n", message);
        __atomic_add_fetch(&complaints, 1, __ATOMIC_SEQ_CST);
    }
}

static void *add_once(void *argument)
{
    (void)argument;
    add(&A, "*", G1, 1, JOIN); /* the library stops meanwhile: its code may be any */
    return NULL;
}

static void *stop_once(void *argument)
{
    (void)argument;
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    CHECK_EQ(__atomic_load_n(&inside_callback, __ATOMIC_SEQ_CST), 0);
    return NULL;
}

/* A host that ends waits for no other process (rule P5). */
static void a8_stopping_waits_for_a_running_callback(void)
{
    MGM_HOST_CONFIG config;
    pthread_t adds, stops;
    DWORD protocol, component;
    start_host(); /* for fresh clients */
    stop_host();
    memset(&config, 0, sizeof config);
    config.dwSize = (DWORD)sizeof config;
    config.dwForwarder = MGM_FORWARDER_MEMORY;
    config.dwLogLevel = MGM_LOG_WARN;
    config.pfnLog = count_complaints;
    complaints = inside_callback = 0;
    hold_callback = 1;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    enrol_with(&A, on_1);
    enrol_with(&B, on_none);
    B.hook = stay_inside;
    alarm(PATIENCE);
    CHECK_EQ(pthread_create(&adds, NULL, add_once, NULL), 0);
    while (!__atomic_load_n(&inside_callback, __ATOMIC_SEQ_CST))
        sched_yield();
    CHECK_EQ(pthread_create(&stops, NULL, stop_once, NULL), 0);
    while (MgmGetProtocolOnInterface(1, 0, &protocol, &component) == NO_ERROR)
        sched_yield(); /* until it has begun to stop */
    complaints = 0; /* what was just asked of a library that stops */
    __atomic_store_n(&hold_callback, 0, __ATOMIC_SEQ_CST);
    pthread_join(adds, NULL);
    pthread_join(stops, NULL);
    alarm(0);
    CHECK_EQ(complaints, 0); /* such as: a callback does not return */
}

/* ---- many threads, many functions ------------------------------------------------------------ */

static void *do_a_bit_of_everything(void *argument)
{
    int n = *(int *)argument, round;
    ROUTING_PROTOCOL_CONFIG none;
    memset(&none, 0, sizeof none);
    for (round = 0; round < 60; round++) {
        HANDLE handle = NULL, rows = NULL;
        BYTE buffer[64];
        char group[32];
        DWORD size = sizeof buffer, count = 0, index = 10 + (DWORD)n;
        snprintf(group, sizeof group, "239.3.%d.%d", n, round + 1);
        CHECK_CODE(MgmRegisterMProtocol(&none, 9000, (DWORD)n, &handle), NO_ERROR);
        CHECK_CODE(MgmTakeInterfaceOwnership(handle, index, 0), NO_ERROR);
        CHECK_CODE(MgmAddGroupMembershipEntry(handle, 0, 0, ip(G1), ALL_ONES, index, 0, JOIN),
                   NO_ERROR);
        CHECK_CODE(packet_in(1, S1, group), NO_ERROR);
        CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
        read_everything();
        CHECK_CODE(MgmGroupEnumerationStart(handle, ANY_SOURCE, &rows), NO_ERROR);
        MgmGroupEnumerationGetNext(rows, &size, buffer, &count);
        CHECK_CODE(MgmReleaseInterfaceOwnership(handle, index, 0), NO_ERROR);
        CHECK_CODE(MgmDeRegisterMProtocol(handle), NO_ERROR);
    }
    return NULL;
}

static void a6_many_threads(void)
{
    pthread_t threads[WRITERS];
    int numbers[WRITERS], n;
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&IGMP, on_1);
    alarm(PATIENCE);
    for (n = 0; n < WRITERS; n++) {
        numbers[n] = n;
        CHECK_EQ(pthread_create(&threads[n], NULL, do_a_bit_of_everything, &numbers[n]), 0);
    }
    for (n = 0; n < WRITERS; n++)
        pthread_join(threads[n], NULL);
    alarm(0);
    CHECK_OIFS(S1, G1, ""); /* all are gone again */
    stop_host();
}

int main(void)
{
    RUN(a6_any_function_from_inside_any_callback);
    RUN(a6_many_threads);
    RUN(a7_alerts_have_come_when_the_call_returns);
    RUN(a7_one_at_a_time_and_in_order);
    RUN(a7_the_last_alert_tells_the_state);
    RUN(a8_no_callback_after_deregistering);
    RUN(a8_deregistering_from_inside_the_own_callback);
    RUN_IN_ONE_PROCESS(a8_stopping_waits_for_a_running_callback);
    return check_summary();
}
