/* Rule A6: each function of mgm.h is called from inside each kind of callback, on several threads
 * at once, for clients of the callback's own and for others: these are taken out, lose their
 * interfaces and come back while alerts are on their way. Every call gives one of its codes, none
 * waits for ever, and in the end everything can be taken away again. */
#include "fixture.h"
#include <pthread.h>
#include <unistd.h>

#ifndef MGM_ROUNDS /* fewer under tools that are slow */
#define MGM_ROUNDS 200
#endif

enum {
    PATIENCE = 120,   /* seconds until a test that hangs is ended as a failure */
    THREADS = 4,
    FEWEST = MGM_ROUNDS, /* rounds of each thread */
    ROUNDS = 5000,    /* at most */
    INNER_CALLS = 12, /* that callbacks may make for each call from outside */
    KINDS = ON_ENABLE + 1,
    CLIENTS = 4,
    INTERFACES = 3,
    KEPT = 8
};

enum function {
    REGISTER, DEREGISTER, TAKE, RELEASE, OWNER, ADD, DELETE, MFE, FIRST, NEXT, STATS, FIRST_STATS,
    NEXT_STATS, SET, ENUM_START, ENUM_NEXT, ENUM_END, FUNCTIONS
};

/* What the reference pages list for each, and ERROR_INVALID_PARAMETER (rule A1). */
static const struct {
    const char *name;
    DWORD codes[5];
} documented[FUNCTIONS] = {
    {"MgmRegisterMProtocol", {NO_ERROR, ERROR_ALREADY_EXISTS}},
    {"MgmDeRegisterMProtocol", {NO_ERROR, ERROR_CAN_NOT_COMPLETE, ERROR_INVALID_PARAMETER}},
    {"MgmTakeInterfaceOwnership", {NO_ERROR, ERROR_ALREADY_EXISTS, ERROR_INVALID_PARAMETER}},
    {"MgmReleaseInterfaceOwnership", {NO_ERROR, ERROR_INVALID_PARAMETER}},
    {"MgmGetProtocolOnInterface", {NO_ERROR, ERROR_NOT_FOUND}},
    {"MgmAddGroupMembershipEntry", {NO_ERROR, ERROR_INVALID_PARAMETER, ERROR_CAN_NOT_COMPLETE}},
    {"MgmDeleteGroupMembershipEntry",
     {NO_ERROR, ERROR_INVALID_PARAMETER, ERROR_NOT_FOUND, ERROR_CAN_NOT_COMPLETE}},
    {"MgmGetMfe", {NO_ERROR, ERROR_NOT_FOUND}},
    {"MgmGetFirstMfe", {ERROR_MORE_DATA, ERROR_NO_MORE_ITEMS}},
    {"MgmGetNextMfe", {ERROR_MORE_DATA, ERROR_NO_MORE_ITEMS}},
    {"MgmGetMfeStats", {NO_ERROR, ERROR_NOT_FOUND}},
    {"MgmGetFirstMfeStats", {ERROR_MORE_DATA, ERROR_NO_MORE_ITEMS}},
    {"MgmGetNextMfeStats", {ERROR_MORE_DATA, ERROR_NO_MORE_ITEMS}},
    {"MgmSetMfe", {NO_ERROR, ERROR_NOT_FOUND, ERROR_INVALID_PARAMETER}},
    {"MgmGroupEnumerationStart", {NO_ERROR, ERROR_INVALID_PARAMETER}},
    {"MgmGroupEnumerationGetNext",
     {ERROR_MORE_DATA, ERROR_NO_MORE_ITEMS, ERROR_INVALID_PARAMETER}},
    {"MgmGroupEnumerationEnd", {NO_ERROR, ERROR_INVALID_PARAMETER}},
};

static client *const clients[CLIENTS] = {&A, &B, &C, &IGMP};
static HANDLE handles[CLIENTS]; /* the latest, perhaps stale */
static HANDLE passing[KEPT];    /* clients that callbacks registered, perhaps stale */
static HANDLE rows[KEPT];       /* enumerations, perhaps ended */
static unsigned turns[KINDS];   /* so that each kind of callback calls each function in turn */
static int called[KINDS][FUNCTIONS], succeeded[FUNCTIONS];
static int allowance;
static DWORD components;

static HANDLE get(HANDLE *from) { return __atomic_load_n(from, __ATOMIC_SEQ_CST); }
static void put(HANDLE *to, HANDLE handle) { __atomic_store_n(to, handle, __ATOMIC_SEQ_CST); }

/* A thread's own numbers: which objects it uses next. */
static __thread unsigned seed;
static unsigned pick(unsigned below)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 16) % below;
}

static DWORD some_source(void) { return pick(2) ? 0 : htonl(0x0a010002u + pick(6)); }
static DWORD some_group(void) { return ip(pick(2) ? G1 : G2); }
static DWORD some_interface(void) { return 1 + pick(INTERFACES); }
static HANDLE some_client(void) { return get(&handles[pick(CLIENTS)]); }

static DWORD change_membership(int adds)
{
    static const DWORD flags[] = {JOIN, JOIN, JOIN, FORWARD, JOIN | FORWARD};
    DWORD s = some_source(), g = pick(8) ? some_group() : 0, flag = flags[pick(5)];
    if (g == 0)
        s = 0;
    return (adds ? MgmAddGroupMembershipEntry : MgmDeleteGroupMembershipEntry)(
        some_client(), s, s ? ALL_ONES : 0, g, g ? ALL_ONES : 0, some_interface(), 0, flag);
}

static DWORD register_one(unsigned n)
{
    HANDLE handle = NULL;
    DWORD code = MgmRegisterMProtocol(&clients[n]->config, clients[n]->protocol, 1, &handle);
    if (code == NO_ERROR)
        put(&handles[n], handle);
    return code;
}

/* One that owns nothing, so that it can be taken out; it has C's callbacks. */
static DWORD register_passing(void)
{
    HANDLE handle = NULL;
    DWORD component = __atomic_add_fetch(&components, 1, __ATOMIC_SEQ_CST);
    DWORD code = MgmRegisterMProtocol(&C.config, 4711, component, &handle);
    if (code == NO_ERROR) {
        handle = __atomic_exchange_n(&passing[pick(KEPT)], handle, __ATOMIC_SEQ_CST);
        if (handle != NULL) /* one too many; two callbacks may want to take each other's out */
            MgmDeRegisterMProtocol(handle);
    }
    return code;
}

static DWORD call_function(int function)
{
    BYTE buffer[2048];
    MIB_IPMCAST_MFE key;
    DWORD size = sizeof buffer, count, protocol, component, code;
    HANDLE handle = NULL;
    memset(&key, 0, sizeof key);
    key.dwSource = htonl(0x0a010002u + pick(6));
    key.dwGroup = some_group();
    key.dwSrcMask = ALL_ONES;
    key.dwUpStrmNgbr = key.dwSource;
    switch (function) {
    case REGISTER: return pick(3) ? register_passing() : register_one(pick(CLIENTS));
    case DEREGISTER:
        return MgmDeRegisterMProtocol(pick(3) ? get(&passing[pick(KEPT)]) : some_client());
    case TAKE: return MgmTakeInterfaceOwnership(some_client(), some_interface(), 0);
    case RELEASE: return MgmReleaseInterfaceOwnership(some_client(), some_interface(), 0);
    case OWNER: return MgmGetProtocolOnInterface(some_interface(), 0, &protocol, &component);
    case ADD: return change_membership(1);
    case DELETE: return change_membership(0);
    case MFE: return MgmGetMfe(&key, &size, buffer);
    case FIRST: return MgmGetFirstMfe(&size, buffer, &count);
    case NEXT: return MgmGetNextMfe(&key, &size, buffer, &count);
    case STATS: return MgmGetMfeStats(&key, &size, buffer, MGM_MFE_STATS_0);
    case FIRST_STATS: return MgmGetFirstMfeStats(&size, buffer, &count, MGM_MFE_STATS_1);
    case NEXT_STATS: return MgmGetNextMfeStats(&key, &size, buffer, &count, MGM_MFE_STATS_0);
    case SET: return MgmSetMfe(some_client(), &key);
    case ENUM_START:
        code = MgmGroupEnumerationStart(some_client(), pick(2) ? ANY_SOURCE : ALL_SOURCES, &handle);
        if (code == NO_ERROR) {
            handle = __atomic_exchange_n(&rows[pick(KEPT)], handle, __ATOMIC_SEQ_CST);
            if (handle != NULL)
                MgmGroupEnumerationEnd(handle); /* it may have ended with its client */
        }
        return code;
    case ENUM_NEXT: return MgmGroupEnumerationGetNext(get(&rows[pick(KEPT)]), &size, buffer, &count);
    default: return MgmGroupEnumerationEnd(get(&rows[pick(KEPT)]));
    }
}

static void call_and_check(int function)
{
    DWORD code = call_function(function);
    unsigned n;
    for (n = 0; n < 5; n++) {
        if (code == documented[function].codes[n]) { /* those left out are NO_ERROR */
            if (code != ERROR_INVALID_PARAMETER)
                __atomic_add_fetch(&succeeded[function], 1, __ATOMIC_SEQ_CST);
            return;
        }
    }
    CHECK_CODE(code, NO_ERROR);
    printf("  from %s\n", documented[function].name);
}

static void call_the_next_function(client *who, callback_kind kind, DWORD index)
{
    int function;
    (void)who, (void)index;
    if (__atomic_sub_fetch(&allowance, 1, __ATOMIC_SEQ_CST) < 0) {
        __atomic_add_fetch(&allowance, 1, __ATOMIC_SEQ_CST);
        return;
    }
    function = (int)(__atomic_fetch_add(&turns[kind], 1, __ATOMIC_SEQ_CST) % FUNCTIONS);
    call_and_check(function);
    __atomic_add_fetch(&called[kind][function], 1, __ATOMIC_SEQ_CST);
}

static int all_called(void)
{
    int kind, function, all = 1;
    for (kind = 0; kind < KINDS; kind++)
        for (function = 0; function < FUNCTIONS; function++)
            all &= __atomic_load_n(&called[kind][function], __ATOMIC_SEQ_CST) > 0;
    return all;
}

/* What brings about callbacks of every kind. */
static void *cause_callbacks(void *argument)
{
    char source[32];
    int round;
    unsigned n;
    seed = *(unsigned *)argument;
    for (round = 0; round < ROUNDS && !(round >= FEWEST && all_called()); round++) {
        __atomic_add_fetch(&allowance, INNER_CALLS, __ATOMIC_SEQ_CST);
        for (n = 0; n < CLIENTS; n++) {
            register_one(n);
            MgmTakeInterfaceOwnership(get(&handles[n]), n == 3 ? some_interface() : n + 1, 0);
        }
        call_and_check(ADD);
        call_and_check(DELETE);
        MgmAddGroupMembershipEntry(get(&handles[3]), 0, 0, ip(G1), ALL_ONES, 2, 0, JOIN);
        MgmAddGroupMembershipEntry(get(&handles[1]), 0, 0, ip(G1), ALL_ONES, 2, 0, JOIN);
        snprintf(source, sizeof source, "10.1.0.%u", 2 + pick(6));
        CHECK_CODE(packet_in(1, source, pick(2) ? G1 : G2), NO_ERROR);
        CHECK_CODE(packet_in(2, source, G1), NO_ERROR);
        MgmDeleteGroupMembershipEntry(get(&handles[3]), 0, 0, ip(G1), ALL_ONES, 2, 0, JOIN);
        MgmDeleteGroupMembershipEntry(get(&handles[1]), 0, 0, ip(G1), ALL_ONES, 2, 0, JOIN);
        call_and_check((int)pick(FUNCTIONS));
        CHECK_CODE(later(300), NO_ERROR);
    }
    return NULL;
}

/* Takes a client out; it may be gone already. */
static void end_client(HANDLE handle)
{
    DWORD index, code;
    for (index = 1; index <= INTERFACES; index++)
        MgmReleaseInterfaceOwnership(handle, index, 0);
    code = MgmDeRegisterMProtocol(handle);
    CHECK(code == NO_ERROR || code == ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmDeRegisterMProtocol(handle), ERROR_INVALID_PARAMETER);
}

static void a6_each_function_inside_each_callback_on_many_threads(void)
{
    pthread_t threads[THREADS];
    unsigned seeds[THREADS], n;
    int kind, function;
    HANDLE last = NULL;
    BYTE buffer[64];
    DWORD size = sizeof buffer, count = 1, protocol, component;
    start_host();
    for (n = 0; n < CLIENTS; n++) {
        clients[n]->hook = call_the_next_function;
        CHECK_CODE(register_one(n), NO_ERROR);
    }
    alarm(PATIENCE);
    for (n = 0; n < THREADS; n++) {
        seeds[n] = n + 1;
        CHECK_EQ(pthread_create(&threads[n], NULL, cause_callbacks, &seeds[n]), 0);
    }
    for (n = 0; n < THREADS; n++)
        pthread_join(threads[n], NULL);
    for (kind = 0; kind < KINDS; kind++)
        for (function = 0; function < FUNCTIONS; function++)
            if (!CHECK(called[kind][function] > 0))
                printf("  %s inside callback %d\n", documented[function].name, kind);
    for (function = 0; function < FUNCTIONS; function++)
        if (!CHECK(succeeded[function] > 0))
            printf("  %s\n", documented[function].name);

    /* In the end all of it can be taken away, and then nothing is left. */
    __atomic_store_n(&allowance, 0, __ATOMIC_SEQ_CST);
    for (n = 0; n < CLIENTS; n++)
        end_client(handles[n]);
    for (n = 0; n < KEPT; n++)
        end_client(passing[n]);
    alarm(0);
    for (n = 1; n <= INTERFACES; n++)
        CHECK_CODE(MgmGetProtocolOnInterface(n, 0, &protocol, &component), ERROR_NOT_FOUND);
    CHECK_CODE(MgmRegisterMProtocol(&C.config, 1, 1, &last), NO_ERROR);
    CHECK_CODE(MgmGroupEnumerationStart(last, ALL_SOURCES, &rows[0]), NO_ERROR);
    CHECK_CODE(MgmGroupEnumerationGetNext(rows[0], &size, buffer, &count), ERROR_NO_MORE_ITEMS);
    CHECK_EQ(count, 0);
    stop_host();
}

int main(void)
{
    RUN(a6_each_function_inside_each_callback_on_many_threads);
    return check_summary();
}
