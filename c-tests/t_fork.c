/* fork: a child of a process in which the library runs gets nothing done, is not kept waiting by
 * locks whose holders it does not have, and does the parent no harm.
 * apart: no, a child of a host is what it is about (tests/remote/faults.rs forks a client process). */
#include "fixture.h"
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE = 60, BUSY = 3, CHILDREN = 50 };

static char directory[] = "/tmp/mgm-fork-XXXXXX";
static char path[64];
static int lines; /* of the log */

static void count_line(PVOID context, DWORD level, const char *message)
{
    (void)context;
    (void)level;
    (void)message;
    __atomic_add_fetch(&lines, 1, __ATOMIC_SEQ_CST);
}

static MGM_HOST_CONFIG configuration(void)
{
    MGM_HOST_CONFIG config;
    memset(&config, 0, sizeof config);
    config.dwSize = sizeof config;
    config.pszControlPath = path;
    config.dwLogLevel = MGM_LOG_INFO;
    config.pfnLog = count_line;
    return config;
}

static void run_host(void)
{
    static const DWORD on_1[] = {1, 0}, on_2[] = {2, 0};
    MGM_HOST_CONFIG config = configuration();
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    CHECK_CODE(add(&B, "*", G1, 2, JOIN), NO_ERROR);
}

/* All functions, with arguments that would do in the parent. */
static void nothing_works(HANDLE rows)
{
    const DWORD no = ERROR_CAN_NOT_COMPLETE;
    MGM_HOST_CONFIG config = configuration();
    MIB_IPMCAST_MFE mfe;
    BYTE buffer[1024], packet[PACKET_SIZE];
    DWORD size = sizeof buffer, n = 77, protocol = 77, component = 77;
    HANDLE handle = NULL;
    memset(buffer, 0xee, sizeof buffer);
    memset(&mfe, 0, sizeof mfe);
    mfe.dwSource = ip(S1);
    mfe.dwGroup = ip(G1);
    make_packet(packet, S1B, G1, 64);
    CHECK_CODE(MgmRegisterMProtocol(&C.config, 999, 1, &handle), no);
    CHECK_CODE(MgmTakeInterfaceOwnership(A.handle, 7, 0), no);
    CHECK_CODE(MgmReleaseInterfaceOwnership(A.handle, 1, 0), no);
    CHECK_CODE(MgmDeRegisterMProtocol(A.handle), no);
    CHECK_CODE(MgmGetProtocolOnInterface(1, 0, &protocol, &component), no);
    CHECK_CODE(add(&B, "*", G2, 2, JOIN), no);
    CHECK_CODE(drop(&B, "*", G1, 2, JOIN), no);
    CHECK_CODE(MgmGetMfe(&mfe, &size, buffer), no);
    CHECK_CODE(MgmGetFirstMfe(&size, buffer, &n), no);
    CHECK_CODE(MgmGetNextMfe(&mfe, &size, buffer, &n), no);
    CHECK_CODE(MgmGetMfeStats(&mfe, &size, buffer, MGM_MFE_STATS_0), no);
    CHECK_CODE(MgmGetFirstMfeStats(&size, buffer, &n, MGM_MFE_STATS_0), no);
    CHECK_CODE(MgmGetNextMfeStats(&mfe, &size, buffer, &n, MGM_MFE_STATS_0), no);
    CHECK_CODE(MgmSetMfe(A.handle, &mfe), no);
    CHECK_CODE(MgmGroupEnumerationStart(A.handle, ANY_SOURCE, &handle), no);
    CHECK_CODE(MgmGroupEnumerationGetNext(rows, &size, buffer, &n), no);
    CHECK_CODE(MgmGroupEnumerationEnd(rows), no);
    CHECK_CODE(MgmHostReceive(1, 0, packet, PACKET_SIZE), no);
    CHECK_CODE(MgmHostRouteChanged(0, 0), no);
    CHECK_CODE(MgmHostInterfaceDown(1, 0), no);
    CHECK_CODE(MgmHostGetState(&size, buffer), no);
    CHECK_CODE(MgmHostStart(&config), no);
    CHECK_CODE(MgmHostStop(), no);
    /* A call that fails writes nothing (rule A2). */
    CHECK(handle == NULL && size == sizeof buffer && n == 77 && protocol == 77 && component == 77);
    for (n = 0; n < sizeof buffer; n++)
        CHECK(buffer[n] == 0xee);
}

/* Ends a child. As it becomes another program, valgrind does not look for memory that is lost: what
 * only threads held that the child does not have would be. */
static void end_child(int wrong)
{
    fflush(stdout);
    execlp(wrong ? "false" : "true", "child", (char *)NULL);
    _exit(127);
}

static void check_child(pid_t child)
{
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
}

static void a_child_gets_nothing_done(void)
{
    MIB_IPMCAST_MFE mfe;
    BYTE buffer[16];
    DWORD size = sizeof buffer, n = 0;
    HANDLE rows = NULL;
    pid_t child;
    int before;
    run_host();
    CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
    CHECK_CODE(MgmGroupEnumerationStart(A.handle, ANY_SOURCE, &rows), NO_ERROR);
    child = fork();
    if (child == 0) {
        alarm(PATIENCE);
        before = lines;
        nothing_works(rows);
        CHECK_EQ(lines, before);
        child = fork();
        if (child == 0) {
            alarm(PATIENCE);
            nothing_works(rows);
            end_child(check_wrong != 0);
        }
        check_child(child);
        end_child(check_wrong != 0);
    }
    check_child(child);
    /* The parent goes on as if nothing had been. */
    CHECK(access(path, F_OK) == 0);
    CHECK(mfe_of(S1, G1, &mfe));
    CHECK_CODE(packet_in(1, S1B, G1), NO_ERROR);
    CHECK_EQ(mfe_count(), 2);
    CHECK_CODE(MgmGroupEnumerationGetNext(rows, &size, buffer, &n), ERROR_NO_MORE_ITEMS);
    CHECK_EQ(n, 1);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    CHECK(access(path, F_OK) != 0);
}

/* Takes the library's locks all the time. */
static int busy;
static void *keep_busy(void *argument)
{
    DWORD mine = *(DWORD *)argument;
    while (__atomic_load_n(&busy, __ATOMIC_SEQ_CST)) {
        CHECK_CODE(add(&B, "*", G2, 2, JOIN), NO_ERROR);
        CHECK_CODE(packet_in(1, S1, mine % 2 ? G1 : G2), NO_ERROR);
        CHECK_CODE(drop(&B, "*", G2, 2, JOIN), NO_ERROR);
    }
    return NULL;
}

static void a_child_of_a_busy_process_does_not_hang(void)
{
    static DWORD numbers[BUSY];
    pthread_t threads[BUSY];
    pid_t child;
    DWORD n;
    run_host();
    __atomic_store_n(&busy, 1, __ATOMIC_SEQ_CST);
    for (n = 0; n < BUSY; n++) {
        numbers[n] = n;
        CHECK(pthread_create(&threads[n], NULL, keep_busy, &numbers[n]) == 0);
    }
    for (n = 0; n < CHILDREN; n++) {
        child = fork();
        if (child == 0) {
            DWORD size = 0, wrong;
            alarm(PATIENCE);
            wrong = MgmHostStop() != ERROR_CAN_NOT_COMPLETE;
            wrong |= MgmHostGetState(&size, NULL) != ERROR_CAN_NOT_COMPLETE;
            wrong |= MgmDeRegisterMProtocol(B.handle) != ERROR_CAN_NOT_COMPLETE;
            end_child(wrong != 0);
        }
        check_child(child);
    }
    __atomic_store_n(&busy, 0, __ATOMIC_SEQ_CST);
    for (n = 0; n < BUSY; n++)
        pthread_join(threads[n], NULL);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

/* A program that becomes a daemon first, or again after a stop. */
static void where_nothing_runs_a_child_may_start(void)
{
    pid_t child;
    int after_a_stop;
    for (after_a_stop = 0; after_a_stop < 2; after_a_stop++) {
        if (after_a_stop) {
            run_host();
            CHECK_CODE(MgmHostStop(), NO_ERROR);
        }
        child = fork();
        if (child == 0) {
            alarm(PATIENCE);
            run_host();
            CHECK_CODE(packet_in(1, S1, G1), NO_ERROR);
            CHECK_EQ(mfe_count(), 1);
            CHECK_CODE(MgmHostStop(), NO_ERROR);
            end_child(check_wrong != 0);
        }
        check_child(child);
    }
}

/* A start that fails leaves the children free. */
static void after_a_start_that_failed_a_child_may_start(void)
{
    MGM_HOST_CONFIG config = configuration();
    pid_t child;
    config.pszControlPath = "/nowhere/at/all";
    CHECK_CODE(MgmHostStart(&config), ERROR_CAN_NOT_COMPLETE);
    child = fork();
    if (child == 0) {
        alarm(PATIENCE);
        run_host();
        CHECK_CODE(MgmHostStop(), NO_ERROR);
        end_child(check_wrong != 0);
    }
    check_child(child);
}

int main(void)
{
    if (mkdtemp(directory) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/socket", directory);
    A.protocol = 100, B.protocol = 200; /* and no callbacks */
    RUN(where_nothing_runs_a_child_may_start);
    RUN(after_a_start_that_failed_a_child_may_start);
    RUN(a_child_gets_nothing_done);
    RUN(a_child_of_a_busy_process_does_not_hang);
    rmdir(directory);
    return check_summary();
}
