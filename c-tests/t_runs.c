/* One run after another, and what happens where one ends: nothing of a run reaches the next one, and
 * whoever ends it waits for nobody that waits for it.
 * apart: no, it ends the host from inside its own functions. */
#include "host.h"
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

enum { PATIENCE = 120 }; /* seconds until a test that hangs is ended as a failure */

static int is_thread(const char *name)
{
    char own[32] = "";
    pthread_getname_np(pthread_self(), own, sizeof own);
    return strcmp(own, name) == 0;
}

/* Starts with a client that owns interface 1; NULL: one without callbacks. */
static HANDLE begin(const MGM_HOST_CONFIG *config, const ROUTING_PROTOCOL_CONFIG *callbacks)
{
    ROUTING_PROTOCOL_CONFIG own;
    HANDLE client = NULL;
    memset(&own, 0, sizeof own);
    if (callbacks != NULL)
        own = *callbacks;
    CHECK_CODE(MgmHostStart(config), NO_ERROR);
    CHECK_CODE(MgmRegisterMProtocol(&own, 100, 1, &client), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(client, 1, 0), NO_ERROR);
    return client;
}

static DWORD join(HANDLE client, DWORD index)
{
    return MgmAddGroupMembershipEntry(client, 0, 0, the_group(), ALL_ONES, index, 0,
                                      MGM_JOIN_STATE_FLAG);
}

/* Gives how many lines of standard error that were kept have the text, -1 where one does not begin as
 * it should. */
static int lines_with(const char *text)
{
    const char *at = kept_errors(), *end;
    int count = 0;
    for (; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        char line[1000] = "";
        memcpy(line, at, (size_t)(end - at) < sizeof line ? (size_t)(end - at) : sizeof line - 1);
        if (strncmp(line, "mgm: error: ", 12) != 0 || strstr(line + 12, "mgm: ") != NULL)
            return -1;
        count += strstr(line, text) != NULL;
    }
    return *at == 0 ? count : -1;
}

/* ---- a function of the host's on a thread that MgmHostStop waits for ------------------------- */

static char socket_path[64]; /* of this process alone: several run at a time */

static int asked;
static DWORD code_inside;

static ULONGLONG clock_that_stops(PVOID context)
{
    (void)context;
    if (is_thread("mgm-control") && !get(&asked)) {
        set(&asked, 1);
        while (MgmHostInterfaceDown(77, 0) != ERROR_CAN_NOT_COMPLETE)
            usleep(1000); /* until the run is ending */
        code_inside = MgmHostStop();
    }
    return 1;
}

static void *ask_for_the_state(void *unused)
{
    struct sockaddr_un address;
    char octet;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    strcpy(address.sun_path, socket_path);
    if (CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0) &&
        CHECK(write(fd, "state\n", 6) == 6))
        while (read(fd, &octet, 1) > 0)
            continue;
    close(fd);
    return unused;
}

/* It does not wait for the one that ends the run, which waits for it. */
static void a6_stopping_on_a_thread_that_is_waited_for(void)
{
    MGM_HOST_CONFIG config = plain_host();
    pthread_t asks;
    alarm(PATIENCE);
    config.dwLogLevel = MGM_LOG_ERROR;
    config.pszControlPath = socket_path;
    config.pfnClock = clock_that_stops;
    code_inside = ~0u;
    keep_errors();
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_EQ(pthread_create(&asks, NULL, ask_for_the_state, NULL), 0);
    await(&asked);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    pthread_join(asks, NULL);
    CHECK_EQ(lines_with("stopping without it"), 0);
    CHECK_CODE(code_inside, ERROR_CAN_NOT_COMPLETE); /* at once */
    alarm(0);
}

/* ---- nothing of a run reaches the next one --------------------------------------------------- */

static HANDLE early;
static int registers, over;

static void *register_all_the_time(void *unused)
{
    ROUTING_PROTOCOL_CONFIG none;
    memset(&none, 0, sizeof none);
    set(&registers, 1);
    while (!get(&over) && MgmRegisterMProtocol(&none, 200, 1, &early) != NO_ERROR)
        continue;
    return unused;
}

/* Nobody is let in before it is certain that a run begins: the next one would know the handle. Each try
 * hands the library's lock from thread to thread. Where every processor is busy that takes milliseconds,
 * so it is time that ends the tries there. */
static void a3_no_client_registers_with_a_start_that_fails(void)
{
    MGM_HOST_CONFIG config = plain_host();
    pthread_t thread;
    time_t begun;
    int tries;
    alarm(PATIENCE);
    config.dwForwarder = MGM_FORWARDER_KERNEL;
    config.dwMulticastSocket = 1000000; /* there is no such descriptor */
    setenv("MGM_FORWARDER", "none that is known", 1); /* no start but this one */
    early = NULL;
    keep_errors();
    CHECK_EQ(pthread_create(&thread, NULL, register_all_the_time, NULL), 0);
    await(&registers);
    begun = time(NULL);
    for (tries = 0; tries < 3000 && (tries < 100 || time(NULL) - begun < 20); tries++)
        CHECK_CODE(MgmHostStart(&config), ERROR_CAN_NOT_COMPLETE);
    set(&over, 1);
    pthread_join(thread, NULL);
    unsetenv("MGM_FORWARDER");
    kept_errors();
    CHECK(early == NULL);
    alarm(0);
}

static pthread_t main_thread;
static HANDLE client_of_first;
static int armed, first_waits, first_goes_on, second_runs, late_lines;

static void log_of_second(PVOID context, DWORD level, const char *message)
{
    (void)context, (void)level;
    late_lines += strstr(message, "entry (") != NULL;
}

static void log_of_first(PVOID context, DWORD level, const char *message)
{
    MGM_HOST_CONFIG config = plain_host();
    (void)context, (void)level;
    if (!get(&armed) || strstr(message, "entry (") == NULL)
        return;
    if (!pthread_equal(main_thread, pthread_self())) {
        set(&first_waits, 1); /* the other lines are kept meanwhile */
        await(&first_goes_on);
    } else if (!second_runs) {
        second_runs = 1;
        config.pfnLog = log_of_second;
        config.dwLogLevel = MGM_LOG_ERROR;
        CHECK_CODE(MgmHostStart(&config), NO_ERROR);
        set(&first_goes_on, 1);
    }
}

static void *join_in_first(void *unused)
{
    join(client_of_first, 3);
    return unused;
}

/* Lines that were kept while the plane was programmed are given when the next run has begun. */
static void a_line_goes_to_the_log_of_its_own_run(void)
{
    MGM_HOST_CONFIG config = plain_host();
    pthread_t thread;
    int n;
    alarm(PATIENCE);
    main_thread = pthread_self();
    config.pfnLog = log_of_first;
    config.dwLogLevel = MGM_LOG_DEBUG;
    client_of_first = begin(&config, NULL);
    CHECK_CODE(MgmTakeInterfaceOwnership(client_of_first, 3, 0), NO_ERROR);
    for (n = 1; n <= 4; n++)
        CHECK_CODE(packet_from(n), NO_ERROR);
    set(&armed, 1);
    CHECK_EQ(pthread_create(&thread, NULL, join_in_first, NULL), 0);
    await(&first_waits);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    pthread_join(thread, NULL);
    CHECK(second_runs);
    CHECK_CODE(MgmHostStop(), NO_ERROR); /* the second one */
    CHECK_EQ(late_lines, 0);
    alarm(0);
}

static DWORD keep_for_a_second(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
                               DWORD index, DWORD next_hop, BOOL member, PDWORD timeout)
{
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)index, (void)next_hop;
    if (!member)
        *timeout = 1;
    return NO_ERROR;
}

static ULONGLONG first_time, second_time;

static ULONGLONG clock_of_first(PVOID context) { return (void)context, first_time; }
static ULONGLONG clock_of_second(PVOID context) { return (void)context, second_time; }

static DWORD ends_and_begins(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
                             PDWORD index, PDWORD next_hop, PDWORD upstream, DWORD size,
                             PBYTE header, PBYTE route)
{
    MGM_HOST_CONFIG config = plain_host();
    ROUTING_PROTOCOL_CONFIG callbacks;
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)index, (void)next_hop;
    (void)upstream, (void)size, (void)header, (void)route;
    if (first_time < 5003000)
        return NO_ERROR;
    first_time = 5000000;
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    config.pfnClock = clock_of_second;
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.pfnPruneAlertCallback = keep_for_a_second;
    begin(&config, &callbacks);
    CHECK_CODE(packet_from(9), NO_ERROR);
    return NO_ERROR;
}

/* A run that ends while its lifetimes are looked at: those of the next one go by their own clock. */
static void e8_time_of_one_run_does_not_pass_in_the_next(void)
{
    MGM_HOST_CONFIG config = plain_host();
    ROUTING_PROTOCOL_CONFIG callbacks;
    MIB_IPMCAST_MFE key;
    BYTE buffer[256];
    DWORD size = sizeof buffer;
    alarm(PATIENCE);
    first_time = 5000000, second_time = 1000;
    config.pfnClock = clock_of_first;
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.pfnRpfCallback = ends_and_begins;
    callbacks.pfnPruneAlertCallback = keep_for_a_second;
    begin(&config, &callbacks);
    CHECK_CODE(packet_from(1), NO_ERROR);
    CHECK_CODE(packet_from(1), NO_ERROR);
    first_time = 5003000;
    MgmHostInterfaceDown(77, 0); /* sees to what is due: the entry is built anew */
    CHECK_EQ(first_time, 5000000);
    memset(&key, 0, sizeof key);
    key.dwSource = ip4(10, 0, 0, 9);
    key.dwGroup = the_group();
    if (CHECK_CODE(MgmGetMfe(&key, &size, buffer), NO_ERROR))
        CHECK_EQ(((PMIB_IPMCAST_MFE)(void *)buffer)->ulExpiryTime, 1);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    alarm(0);
}

static int reads, reads_on;
static DWORD read_code;

static ULONGLONG clock_that_is_late(PVOID context)
{
    (void)context;
    if (!pthread_equal(main_thread, pthread_self()) && !get(&reads)) {
        set(&reads, 1);
        await(&reads_on);
    }
    return 1000000000;
}

static void *read_an_entry(void *unused)
{
    MIB_IPMCAST_MFE key;
    BYTE buffer[256];
    DWORD size = sizeof buffer;
    memset(&key, 0, sizeof key);
    key.dwSource = ip4(10, 0, 0, 1);
    key.dwGroup = the_group();
    read_code = MgmGetMfe(&key, &size, buffer);
    return unused;
}

static void *stop_run(void *unused)
{
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    return unused;
}

static void make_entry(const MGM_HOST_CONFIG *config)
{
    begin(config, NULL);
    CHECK_CODE(packet_from(1), NO_ERROR);
}

/* A reader that comes out of one run's clock when the next one has an entry of the same flow. */
static void e12_no_entry_is_read_by_the_clock_of_another_run(void)
{
    MGM_HOST_CONFIG config = plain_host();
    pthread_t reader, stopper;
    DWORD protocol, component;
    alarm(PATIENCE);
    main_thread = pthread_self();
    config.pfnClock = clock_that_is_late;
    make_entry(&config);
    CHECK_EQ(pthread_create(&reader, NULL, read_an_entry, NULL), 0);
    await(&reads);
    CHECK_EQ(pthread_create(&stopper, NULL, stop_run, NULL), 0);
    while (MgmGetProtocolOnInterface(1, 0, &protocol, &component) == NO_ERROR)
        usleep(1000); /* until the run has ended; it waits for the reader */
    config.pfnClock = clock_of_second;
    second_time = 5000;
    make_entry(&config);
    set(&reads_on, 1);
    pthread_join(reader, NULL);
    pthread_join(stopper, NULL);
    CHECK_CODE(read_code, ERROR_NOT_FOUND);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    alarm(0);
}

/* ---- the host's clock, and its log ----------------------------------------------------------- */

static int takes, readings, may_receive, received, in_time;

static ULONGLONG clock_that_waits(PVOID context)
{
    (void)context;
    if (get(&takes) && pthread_equal(main_thread, pthread_self()) && ++readings == 2) {
        set(&may_receive, 1);
        in_time = comes_within(&received, 20000);
    }
    return 1;
}

static void *receive_when_told(void *unused)
{
    await(&may_receive);
    CHECK_CODE(packet_from(9), NO_ERROR);
    set(&received, 1);
    return unused;
}

/* No lock is held while it is read: another thread's flow is programmed meanwhile. */
static void a6_the_clock_is_read_with_nothing_locked(void)
{
    MGM_HOST_CONFIG config = plain_host();
    pthread_t thread;
    HANDLE client;
    alarm(PATIENCE);
    main_thread = pthread_self();
    config.pfnClock = clock_that_waits;
    client = begin(&config, NULL);
    CHECK_EQ(pthread_create(&thread, NULL, receive_when_told, NULL), 0);
    set(&takes, 1);
    CHECK_CODE(MgmTakeInterfaceOwnership(client, 2, 0), NO_ERROR);
    set(&takes, 0);
    CHECK(readings >= 2 && in_time);
    pthread_join(thread, NULL);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    alarm(0);
}

static ULONGLONG clock_that_ends(PVOID context)
{
    (void)context;
    code_inside = MgmHostStop();
    return 1;
}

static void transmit_that_starts(PVOID context, DWORD index, DWORD next_hop, const BYTE *octets,
                                 DWORD size)
{
    MGM_HOST_CONFIG config = plain_host();
    (void)context, (void)index, (void)next_hop, (void)octets, (void)size;
    config.pfnClock = clock_that_ends;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
}

/* A function of the run that ends stands below another configuration's on the same stack. */
static void the_end_does_not_wait_for_its_own_thread(void)
{
    MGM_HOST_CONFIG config = plain_host();
    HANDLE client;
    alarm(PATIENCE);
    config.pfnTransmit = transmit_that_starts;
    code_inside = ~0u;
    keep_errors();
    client = begin(&config, NULL);
    CHECK_CODE(MgmTakeInterfaceOwnership(client, 3, 0), NO_ERROR);
    CHECK_CODE(join(client, 3), NO_ERROR);
    packet_from(1);
    CHECK_CODE(code_inside, NO_ERROR);
    CHECK_EQ(lines_with("does not return"), 0);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    alarm(0);
}

/* However long the text is that it speaks of. */
static void a10_each_line_is_one_line(void)
{
    MGM_HOST_CONFIG config = plain_host();
    char path[701];
    memset(path, 'a', sizeof path);
    path[700] = 0;
    config.dwLogLevel = MGM_LOG_ERROR;
    config.pszControlPath = path;
    keep_errors();
    CHECK_CODE(MgmHostStart(&config), ERROR_CAN_NOT_COMPLETE);
    CHECK_EQ(lines_with("control socket"), 1);
}

int main(void)
{
    snprintf(socket_path, sizeof socket_path, "/tmp/mgm-t-runs-%d", (int)getpid());
    RUN(a6_stopping_on_a_thread_that_is_waited_for);
    RUN(a3_no_client_registers_with_a_start_that_fails);
    RUN(a_line_goes_to_the_log_of_its_own_run);
    RUN(e8_time_of_one_run_does_not_pass_in_the_next);
    RUN(e12_no_entry_is_read_by_the_clock_of_another_run);
    RUN(a6_the_clock_is_read_with_nothing_locked);
    RUN(the_end_does_not_wait_for_its_own_thread);
    RUN(a10_each_line_is_one_line);
    return check_summary();
}
