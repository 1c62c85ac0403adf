/* The end of a run while threads are inside the functions that the host gave for it: when
 * MgmHostStop has returned, none of them runs and none is called any more.
 * apart: no, it ends the host from inside its own functions. */
#include "host.h"

enum { PATIENCE = 120 }; /* seconds until a test that hangs is ended as a failure */

enum function { ROUTE, TRANSMIT, LOG, CLOCK, ADD_INTERFACE, SET_MFE, COUNTERS, STOP, NONE };

enum step { INSIDE, CALLED_BACK, MAY_LEAVE, STOPPED, STEPS };

static int steps[STEPS];        /* which have been made */
static enum function held;      /* the one that the worker stays in until it may leave */
static int is_worker_known;
static pthread_t worker;
static int running[NONE];       /* how many threads are in each */
static int too_late;            /* calls after the end */
static int beside_the_stop;     /* of the others while pfnStop ran, or after it */
static void (*inside_it)(void); /* what the worker does in there */

static HANDLE client;

static void made(enum step step) { set(&steps[step], 1); }

/* Whether the step is made within a tenth of a second. */
static int soon(enum step step) { return comes_within(&steps[step], 100); }

/* Each function of the host's is in here while it runs. */
static void visit(enum function function)
{
    int stays, f;
    pthread_mutex_lock(&flags);
    running[function]++;
    too_late += steps[STOPPED];
    for (f = ADD_INTERFACE; f <= COUNTERS; f++)
        if (f != (int)function && (function == STOP || f == (int)STOP) && running[f])
            beside_the_stop++;
    stays = function == held && is_worker_known && pthread_equal(worker, pthread_self()) &&
            !steps[INSIDE];
    pthread_mutex_unlock(&flags);
    if (stays) {
        made(INSIDE);
        if (inside_it != NULL)
            inside_it();
        await(&steps[MAY_LEAVE]);
    }
    pthread_mutex_lock(&flags);
    running[function]--;
    pthread_mutex_unlock(&flags);
}

static DWORD route(PVOID context, DWORD source, PMGM_ROUTE found)
{
    (void)context;
    fill_route(source, found);
    visit(ROUTE);
    return NO_ERROR;
}

static void transmit(PVOID context, DWORD index, DWORD next_hop, const BYTE *packet, DWORD size)
{
    (void)context, (void)index, (void)next_hop, (void)packet, (void)size;
    visit(TRANSMIT);
}

static void take_line(PVOID context, DWORD level, const char *message)
{
    (void)context, (void)level, (void)message;
    visit(LOG);
}

static ULONGLONG read_clock(PVOID context)
{
    (void)context;
    visit(CLOCK);
    return 1;
}

static DWORD add_interface(PVOID context, DWORD index, DWORD next_hop)
{
    (void)context, (void)index, (void)next_hop;
    visit(ADD_INTERFACE);
    return NO_ERROR;
}

static DWORD set_mfe(PVOID context, DWORD source, DWORD group, DWORD in, DWORD in_hop, DWORD count,
                     const MIB_IPMCAST_OIF *out)
{
    (void)context, (void)source, (void)group, (void)in, (void)in_hop, (void)count, (void)out;
    visit(SET_MFE);
    return NO_ERROR;
}

static DWORD delete_mfe(PVOID context, DWORD source, DWORD group)
{
    (void)context, (void)source, (void)group;
    return NO_ERROR;
}

static DWORD counters_of(PVOID context, DWORD source, DWORD group, PMGM_MFE_COUNTERS counters)
{
    (void)context, (void)source, (void)group, (void)counters;
    visit(COUNTERS);
    return NO_ERROR;
}

static void stopping(PVOID context)
{
    (void)context;
    visit(STOP);
}

static MGM_HOST_CONFIG config;
static MGM_HOST_FORWARDER table;

/* A run with one client and a membership behind interface 2, and nobody inside anything. */
static void start(DWORD forwarder, PMGM_JOIN_ALERT_CALLBACK joins)
{
    ROUTING_PROTOCOL_CONFIG callbacks;
    alarm(PATIENCE);
    memset(steps, 0, sizeof steps);
    held = NONE, is_worker_known = too_late = beside_the_stop = 0, inside_it = NULL;
    config = plain_host();
    config.dwLogLevel = MGM_LOG_TRACE;
    config.pfnLog = take_line;
    config.pfnClock = read_clock;
    config.dwForwarder = forwarder;
    if (forwarder == MGM_FORWARDER_CUSTOM) {
        memset(&table, 0, sizeof table);
        table.dwSize = (DWORD)sizeof table;
        table.pfnAddInterface = add_interface;
        table.pfnSetMfe = set_mfe;
        table.pfnDeleteMfe = delete_mfe;
        table.pfnGetMfeCounters = counters_of;
        table.pfnRoute = route;
        table.pfnStop = stopping;
        config.pForwarder = &table;
    } else {
        config.pfnRoute = route;
        config.pfnTransmit = transmit;
    }
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.pfnJoinAlertCallback = joins;
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, 100, 1, &client), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(client, 1, 0), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(client, 2, 0), NO_ERROR);
    CHECK_CODE(MgmAddGroupMembershipEntry(client, 0, 0, ip4(239, 1, 1, 1), ALL_ONES, 2, 0,
                                          MGM_JOIN_STATE_FLAG),
               NO_ERROR);
}

/* A packet of a flow, its statistics, and another interface: each function once. */
static void *use_everything(void *unused)
{
    DWORD size = 0, count;
    pthread_mutex_lock(&flags);
    worker = pthread_self();
    is_worker_known = 1;
    pthread_mutex_unlock(&flags);
    packet_from(1);
    MgmGetFirstMfeStats(&size, NULL, &count, MGM_MFE_STATS_0);
    MgmTakeInterfaceOwnership(client, 3, 0);
    return unused;
}

static void *stop(void *code)
{
    *(DWORD *)code = MgmHostStop();
    made(STOPPED);
    return NULL;
}

static void await_stopping(void)
{
    DWORD index, component;
    while (MgmGetProtocolOnInterface(1, 0, &index, &component) == NO_ERROR)
        usleep(1000);
}

static void stop_while_inside(DWORD forwarder, enum function function)
{
    pthread_t uses, stops;
    DWORD code = ~0u;
    start(forwarder, NULL);
    held = function;
    CHECK_EQ(pthread_create(&uses, NULL, use_everything, NULL), 0);
    await(&steps[INSIDE]);
    CHECK_EQ(pthread_create(&stops, NULL, stop, &code), 0);
    await_stopping();
    if (!CHECK(!soon(STOPPED)))
        printf("  function %d\n", (int)function);
    made(MAY_LEAVE);
    pthread_join(stops, NULL);
    CHECK_CODE(code, NO_ERROR);
    CHECK_EQ(get(&running[function]), 0);
    pthread_join(uses, NULL);
    CHECK_EQ(too_late, 0);
    CHECK_EQ(beside_the_stop, 0);
    CHECK_CODE(MgmHostStop(), ERROR_CAN_NOT_COMPLETE);
    alarm(0);
}

static void the_end_waits_for_the_functions_of_a_host(void)
{
    stop_while_inside(MGM_FORWARDER_MEMORY, ROUTE);
    stop_while_inside(MGM_FORWARDER_MEMORY, TRANSMIT);
    stop_while_inside(MGM_FORWARDER_MEMORY, LOG);
    stop_while_inside(MGM_FORWARDER_MEMORY, CLOCK);
}

static void the_end_waits_for_the_functions_of_a_forwarder(void)
{
    stop_while_inside(MGM_FORWARDER_CUSTOM, ROUTE);
    stop_while_inside(MGM_FORWARDER_CUSTOM, ADD_INTERFACE);
    stop_while_inside(MGM_FORWARDER_CUSTOM, SET_MFE);
    stop_while_inside(MGM_FORWARDER_CUSTOM, COUNTERS);
}

static DWORD code_inside;

static void stop_in_here(void)
{
    code_inside = MgmHostStop();
    made(STOPPED);
    made(MAY_LEAVE);
}

/* It does not wait for the function that it is called in, and none comes after that one. */
static void the_end_inside_a_function_of_a_host(void)
{
    static const enum function functions[] = {ROUTE, TRANSMIT, LOG, CLOCK};
    size_t i;
    for (i = 0; i < sizeof functions / sizeof *functions; i++) {
        start(MGM_FORWARDER_MEMORY, NULL);
        held = functions[i];
        inside_it = stop_in_here;
        code_inside = ~0u;
        keep_errors();
        use_everything(NULL);
        CHECK(strstr(kept_errors(), "does not return") == NULL);
        CHECK_CODE(code_inside, NO_ERROR);
        CHECK_EQ(too_late, 0);
        CHECK_CODE(MgmHostStop(), ERROR_CAN_NOT_COMPLETE);
        alarm(0);
    }
}

static DWORD stop_in_a_callback(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
                                BOOL member)
{
    HANDLE rows;
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)member;
    if (!get(&is_worker_known))
        return NO_ERROR;
    made(CALLED_BACK);
    while (MgmGroupEnumerationStart(client, ANY_SOURCE, &rows) == NO_ERROR) {
        MgmGroupEnumerationEnd(rows);
        usleep(1000);
    }
    CHECK_CODE(MgmHostStop(), ERROR_CAN_NOT_COMPLETE);
    return NO_ERROR;
}

static void take_the_client_out(void)
{
    await(&steps[CALLED_BACK]);
    CHECK_CODE(MgmReleaseInterfaceOwnership(client, 1, 0), NO_ERROR);
    CHECK_CODE(MgmReleaseInterfaceOwnership(client, 2, 0), NO_ERROR);
    CHECK_CODE(MgmDeRegisterMProtocol(client), NO_ERROR);
    made(MAY_LEAVE);
}

/* A function of the host's takes a client out whose callback ends the run: each would wait for the
 * other. */
static void a6_stopping_while_a_function_of_a_host_takes_the_client_out(void)
{
    ROUTING_PROTOCOL_CONFIG none;
    pthread_t uses;
    HANDLE other;
    start(MGM_FORWARDER_MEMORY, stop_in_a_callback);
    memset(&none, 0, sizeof none);
    CHECK_CODE(MgmRegisterMProtocol(&none, 200, 1, &other), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(other, 4, 0), NO_ERROR);
    packet_from(1); /* the next one is sent on by the thread that brings it, at once */
    held = TRANSMIT;
    inside_it = take_the_client_out;
    CHECK_EQ(pthread_create(&uses, NULL, use_everything, NULL), 0);
    await(&steps[INSIDE]);
    CHECK_CODE(MgmAddGroupMembershipEntry(other, 0, 0, ip4(239, 1, 1, 2), ALL_ONES, 4, 0,
                                          MGM_JOIN_STATE_FLAG),
               NO_ERROR);
    pthread_join(uses, NULL);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    alarm(0);
}

int main(void)
{
    RUN(the_end_waits_for_the_functions_of_a_host);
    RUN(the_end_waits_for_the_functions_of_a_forwarder);
    RUN(the_end_inside_a_function_of_a_host);
    RUN(a6_stopping_while_a_function_of_a_host_takes_the_client_out);
    return check_summary();
}
