/* The end of a run, and what is called from inside the host's own functions: nothing waits for
 * ever, and what the host gave may be unloaded when MgmHostStop has returned.
 * apart: no, it ends the host from inside its own functions and its clients' callbacks. */
#include "host.h"

enum { PATIENCE = 120 }; /* seconds until a test that hangs is ended as a failure */

static HANDLE a, b; /* two routing protocols: a owns 1 and 2, b owns 3 */

static void enrol(HANDLE *who, DWORD protocol, PMGM_JOIN_ALERT_CALLBACK join)
{
    ROUTING_PROTOCOL_CONFIG callbacks;
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.pfnJoinAlertCallback = join;
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, protocol, 1, who), NO_ERROR);
}

static void start(const MGM_HOST_CONFIG *config, PMGM_JOIN_ALERT_CALLBACK joins_of_a,
                  PMGM_JOIN_ALERT_CALLBACK joins_of_b)
{
    alarm(PATIENCE);
    CHECK_CODE(MgmHostStart(config), NO_ERROR);
    enrol(&a, 100, joins_of_a);
    enrol(&b, 200, joins_of_b);
    CHECK_CODE(MgmTakeInterfaceOwnership(a, 1, 0), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(a, 2, 0), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(b, 3, 0), NO_ERROR);
}

static DWORD join(HANDLE who, int last, DWORD index)
{
    return MgmAddGroupMembershipEntry(who, 0, 0, ip4(239, 1, 1, last), ALL_ONES, index, 0,
                                      MGM_JOIN_STATE_FLAG);
}

static DWORD inside; /* what a call from inside a function gave */

static void log_that_stops(PVOID context, DWORD level, const char *message)
{
    (void)context, (void)level;
    if (inside == ~0u && strstr(message, "entry (") != NULL)
        inside = MgmHostStop();
}

/* A line that was kept while the plane was programmed. */
static void a6_stopping_inside_the_log(void)
{
    MGM_HOST_CONFIG config = plain_host();
    config.pfnLog = log_that_stops;
    config.dwLogLevel = MGM_LOG_DEBUG;
    inside = ~0u;
    start(&config, NULL, NULL);
    CHECK_CODE(join(a, 1, 2), NO_ERROR);
    packet_from(1);
    CHECK_CODE(inside, NO_ERROR);
    CHECK_CODE(MgmHostStop(), ERROR_CAN_NOT_COMPLETE);
    alarm(0);
}

static int waited;

static void log_that_joins(PVOID context, DWORD level, const char *message)
{
    (void)context, (void)level;
    if (strstr(message, "no longer waits") != NULL)
        waited = 1;
    if (inside == ~0u && strstr(message, "join alert") != NULL)
        inside = join(b, 9, 3);
}

static int joins;

static DWORD count_joins(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
                         BOOL member)
{
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)member;
    joins++;
    return NO_ERROR;
}

/* The line about an alert comes on the thread that is about to call the client. */
static void a6_joining_inside_the_log(void)
{
    MGM_HOST_CONFIG config = plain_host();
    config.pfnLog = log_that_joins;
    config.dwLogLevel = MGM_LOG_TRACE;
    inside = ~0u, waited = joins = 0;
    start(&config, count_joins, NULL);
    CHECK_CODE(join(b, 1, 3), NO_ERROR);
    CHECK_CODE(inside, NO_ERROR);
    CHECK_EQ(joins, 2);
    CHECK(!waited);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    alarm(0);
}

/* ---- callbacks on one thread, calls on another ---------------------------------------------- */

enum step { A_INSIDE, B_INSIDE, RETURNED, STEPS };

static int steps[STEPS]; /* which have been made */

static void made(enum step step) { set(&steps[step], 1); }

/* Whether the step is made within a tenth of a second. */
static int soon(enum step step) { return comes_within(&steps[step], 100); }

/* Until another thread has taken the client out, or ended the run. */
static void await_the_end_of(HANDLE client)
{
    HANDLE some;
    while (MgmGroupEnumerationStart(client, ANY_SOURCE, &some) == NO_ERROR) {
        MgmGroupEnumerationEnd(some);
        usleep(1000);
    }
}

static void *a_hears_of_b(void *unused)
{
    join(b, 1, 3);
    return unused;
}

static void *b_hears_of_a(void *unused)
{
    join(a, 1, 1);
    return unused;
}

static void begin(pthread_t *thread, void *(*run)(void *))
{
    CHECK_EQ(pthread_create(thread, NULL, run, NULL), 0);
}

static void begin_anew(PMGM_JOIN_ALERT_CALLBACK joins_of_a, PMGM_JOIN_ALERT_CALLBACK joins_of_b)
{
    MGM_HOST_CONFIG config = plain_host();
    memset(steps, 0, sizeof steps);
    start(&config, joins_of_a, joins_of_b);
}

static DWORD stop_in_a(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, BOOL member)
{
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)member;
    made(A_INSIDE);
    await_the_end_of(a);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    CHECK(!soon(RETURNED));
    return NO_ERROR;
}

/* The thread that takes the client out waits although the run has ended. */
static void a8_stopping_inside_a_callback_that_is_waited_for(void)
{
    pthread_t thread;
    begin_anew(stop_in_a, NULL);
    CHECK_CODE(MgmReleaseInterfaceOwnership(a, 1, 0), NO_ERROR);
    CHECK_CODE(MgmReleaseInterfaceOwnership(a, 2, 0), NO_ERROR);
    begin(&thread, a_hears_of_b);
    await(&steps[A_INSIDE]);
    CHECK_CODE(MgmDeRegisterMProtocol(a), NO_ERROR);
    made(RETURNED);
    pthread_join(thread, NULL);
    CHECK_CODE(MgmHostStop(), ERROR_CAN_NOT_COMPLETE);
    alarm(0);
}

static DWORD register_in_a(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
                           BOOL member)
{
    ROUTING_PROTOCOL_CONFIG none;
    MGM_HOST_CONFIG config = plain_host();
    HANDLE handle;
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)member;
    memset(&none, 0, sizeof none);
    made(A_INSIDE);
    await_the_end_of(a);
    CHECK_CODE(MgmRegisterMProtocol(&none, 9, 9, &handle), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmHostStart(&config), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmHostStop(), ERROR_CAN_NOT_COMPLETE);
    CHECK(!soon(RETURNED));
    return NO_ERROR;
}

/* Nothing begins anew while another thread ends the run, which waits for the callback. */
static void a6_registering_while_stopping(void)
{
    pthread_t thread;
    begin_anew(register_in_a, NULL);
    begin(&thread, a_hears_of_b);
    await(&steps[A_INSIDE]);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    made(RETURNED);
    pthread_join(thread, NULL);
    CHECK_CODE(MgmHostStop(), ERROR_CAN_NOT_COMPLETE);
    alarm(0);
}

static DWORD take_b_out(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, BOOL member)
{
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)member;
    made(A_INSIDE);
    await(&steps[B_INSIDE]);
    CHECK_CODE(MgmReleaseInterfaceOwnership(b, 3, 0), NO_ERROR);
    CHECK_CODE(MgmDeRegisterMProtocol(b), NO_ERROR);
    return NO_ERROR;
}

static DWORD stop_in_b(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, BOOL member)
{
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)member;
    made(B_INSIDE);
    await_the_end_of(b);
    CHECK_CODE(MgmHostStop(), ERROR_CAN_NOT_COMPLETE);
    return NO_ERROR;
}

/* Inside one callback the other's client is taken out; inside the other one the run is ended. */
static void a6_stopping_and_deregistering_each_other(void)
{
    pthread_t first, second;
    begin_anew(take_b_out, stop_in_b);
    begin(&first, a_hears_of_b);
    await(&steps[A_INSIDE]);
    begin(&second, b_hears_of_a);
    pthread_join(first, NULL);
    pthread_join(second, NULL);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    alarm(0);
}

/* ---- inside the functions of a custom forwarder --------------------------------------------- */

enum { ADD_INTERFACE, REMOVE_INTERFACE, SET_MFE, DELETE_MFE, COUNTERS, ROUTE, STOP, FUNCTIONS };

static int seen[FUNCTIONS]; /* the functions inside of which everything was called */
static HANDLE rows;         /* an enumeration */

/* Each function of mgm.h and mgm_host.h once: only those that read may be called. */
static void call_everything(int function)
{
    static int reading;
    ROUTING_PROTOCOL_CONFIG none;
    MGM_HOST_CONFIG config = plain_host();
    MIB_IPMCAST_MFE mfe;
    HANDLE handle = NULL;
    BYTE buffer[64];
    DWORD size = sizeof buffer, count, protocol, component;
    if (reading || a == NULL || seen[function])
        return;
    seen[function] = reading = 1;
    memset(&none, 0, sizeof none);
    memset(&mfe, 0, sizeof mfe);
    mfe.dwSource = ip4(10, 0, 0, 1);
    mfe.dwGroup = ip4(239, 1, 1, 1);
    CHECK_CODE(MgmRegisterMProtocol(&none, 9, 9, &handle), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmDeRegisterMProtocol(a), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmTakeInterfaceOwnership(a, 9, 0), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmReleaseInterfaceOwnership(a, 2, 0), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(join(a, 9, 1), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmDeleteGroupMembershipEntry(a, 0, 0, 0, 0, 1, 0, MGM_JOIN_STATE_FLAG),
               ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmSetMfe(a, &mfe), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmGroupEnumerationStart(a, ANY_SOURCE, &handle), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmGroupEnumerationGetNext(rows, &size, buffer, &count), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmGroupEnumerationEnd(rows), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmHostStart(&config), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmHostStop(), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(packet_from(7), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmHostRouteChanged(0, 0), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmHostInterfaceDown(1, 0), ERROR_CAN_NOT_COMPLETE);
    if (function != STOP) { /* where nothing is left to read */
        CHECK_CODE(MgmGetProtocolOnInterface(1, 0, &protocol, &component), NO_ERROR);
        CHECK_EQ(protocol, 100);
        size = 0;
        CHECK_CODE(MgmHostGetState(&size, NULL), ERROR_INSUFFICIENT_BUFFER);
    }
    size = 0;
    CHECK(MgmGetFirstMfeStats(&size, NULL, &count, MGM_MFE_STATS_0) != ERROR_CAN_NOT_COMPLETE);
    CHECK(MgmGetMfeStats(&mfe, &size, NULL, MGM_MFE_STATS_1) != ERROR_CAN_NOT_COMPLETE);
    reading = 0;
}

static DWORD add_interface(PVOID context, DWORD index, DWORD next_hop)
{
    (void)context, (void)next_hop;
    if (index == 3) /* when a owns 1 */
        call_everything(ADD_INTERFACE);
    return NO_ERROR;
}

static void remove_interface(PVOID context, DWORD index, DWORD next_hop)
{
    (void)context, (void)index, (void)next_hop;
    call_everything(REMOVE_INTERFACE);
}

static DWORD set_mfe(PVOID context, DWORD source, DWORD group, DWORD in, DWORD in_hop, DWORD count,
                     const MIB_IPMCAST_OIF *out)
{
    (void)context, (void)source, (void)group, (void)in, (void)in_hop, (void)count, (void)out;
    call_everything(SET_MFE);
    return NO_ERROR;
}

static DWORD delete_mfe(PVOID context, DWORD source, DWORD group)
{
    (void)context, (void)source, (void)group;
    call_everything(DELETE_MFE);
    return NO_ERROR;
}

static DWORD counters_of(PVOID context, DWORD source, DWORD group, PMGM_MFE_COUNTERS counters)
{
    (void)context, (void)source, (void)group, (void)counters;
    call_everything(COUNTERS);
    return NO_ERROR;
}

static DWORD route_of(PVOID context, DWORD source, PMGM_ROUTE route)
{
    (void)context;
    fill_route(source, route);
    call_everything(ROUTE);
    return NO_ERROR;
}

static void stopped(PVOID context)
{
    (void)context;
    call_everything(STOP);
}

static void a6_inside_the_functions_of_a_forwarder(void)
{
    MGM_HOST_CONFIG config = plain_host();
    MGM_HOST_FORWARDER table;
    DWORD size = 0, count;
    int function;
    memset(&table, 0, sizeof table);
    table.dwSize = (DWORD)sizeof table;
    table.pfnAddInterface = add_interface;
    table.pfnRemoveInterface = remove_interface;
    table.pfnSetMfe = set_mfe;
    table.pfnDeleteMfe = delete_mfe;
    table.pfnGetMfeCounters = counters_of;
    table.pfnStop = stopped;
    config.dwForwarder = MGM_FORWARDER_CUSTOM;
    config.pForwarder = &table;
    config.pfnRoute = route_of; /* in the place of the table's */
    a = NULL;
    start(&config, NULL, NULL);
    CHECK_CODE(MgmGroupEnumerationStart(a, ANY_SOURCE, &rows), NO_ERROR);
    CHECK_CODE(join(b, 1, 3), NO_ERROR);
    CHECK_CODE(packet_from(1), NO_ERROR);
    CHECK_CODE(MgmGetFirstMfeStats(&size, NULL, &count, MGM_MFE_STATS_0),
               ERROR_INSUFFICIENT_BUFFER);
    CHECK_CODE(MgmHostInterfaceDown(1, 0), NO_ERROR);
    CHECK_CODE(MgmReleaseInterfaceOwnership(b, 3, 0), NO_ERROR);
    CHECK_CODE(MgmGroupEnumerationEnd(rows), NO_ERROR);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    for (function = 0; function < FUNCTIONS; function++)
        if (!CHECK(seen[function]))
            printf("  function %d\n", function);
    alarm(0);
}

int main(void)
{
    RUN(a6_stopping_inside_the_log);
    RUN(a6_joining_inside_the_log);
    RUN(a8_stopping_inside_a_callback_that_is_waited_for);
    RUN(a6_registering_while_stopping);
    RUN(a6_stopping_and_deregistering_each_other);
    RUN(a6_inside_the_functions_of_a_forwarder);
    return check_summary();
}
