/* What programs do to themselves around a call: a thread that is cancelled inside one, a standard error
 * that nobody reads, a clock that goes back. Each case in a process of its own, with a deadline.
 * matrix: C only
 * apart: no, its processes each start a host of their own. */
#include "check.h"
#include "host.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static ROUTING_PROTOCOL_CONFIG no_callbacks;

/* Runs a case in a child with this descriptor as its standard error; gives waitpid's status. */
static int in_a_child(void (*run)(void), int error)
{
    int status = 0;
    pid_t child;
    fflush(stdout);
    child = fork();
    if (child == 0) {
        if (error >= 0)
            dup2(error, 2);
        alarm(20);
        run();
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return -1;
    return status;
}

static MGM_HOST_CONFIG loud_host(void)
{
    MGM_HOST_CONFIG config = plain_host();
    config.dwLogLevel = MGM_LOG_INFO;
    return config;
}

static void must(int holds)
{
    if (!holds)
        _exit(3);
}

static int quiet(void)
{
    return open("/dev/null", O_WRONLY | O_CLOEXEC);
}

/* ---- pthread_cancel ---- */

static volatile int calling, told;

static void *fail_for_ever(void *argument)
{
    for (;;) {
        calling = 1;
        MgmDeRegisterMProtocol((HANDLE)77);
    }
    return argument;
}

static void *fail_until_told(void *argument)
{
    int old;
    while (!told) {
        MgmDeRegisterMProtocol((HANDLE)77);
        calling = 1;
    }
    /* The state is put back: this thread can be cancelled, as before its calls. */
    must(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old) == 0 && old == PTHREAD_CANCEL_ENABLE);
    for (;;)
        pthread_testcancel();
    return argument;
}

static void cancelled(void)
{
    MGM_HOST_CONFIG config = loud_host();
    int n;
    must(MgmHostStart(&config) == NO_ERROR);
    for (n = 0; n < 200; n++) {
        pthread_t thread;
        void *result = NULL;
        HANDLE handle;
        int looping = n % 2;
        calling = told = 0;
        must(pthread_create(&thread, NULL, looping ? fail_for_ever : fail_until_told, NULL) == 0);
        while (!calling)
            sched_yield();
        must(pthread_cancel(thread) == 0);
        if (looping) {
            /* A thread that does nothing but call is no more cancelled inside a call than between. */
            pthread_detach(thread);
        } else {
            told = 1;
            must(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
        }
        /* Nothing is locked. */
        must(MgmRegisterMProtocol(&no_callbacks, 1000 + (DWORD)n, 1, &handle) == NO_ERROR);
        if (looping)
            break;
    }
}

static void a_thread_that_is_cancelled_inside_a_call_goes_on_until_it_returns(void)
{
    int status = in_a_child(cancelled, quiet());
    CHECK_EQ(WIFEXITED(status), 1);
    CHECK_EQ(WEXITSTATUS(status), 0);
}

static int state_inside = -1;

static DWORD look_at_the_state(DWORD s, DWORD sm, DWORD g, DWORD gm, BOOL member)
{
    int old = -1;
    (void)s, (void)sm, (void)g, (void)gm, (void)member;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    state_inside = old;
    pthread_setcancelstate(old, NULL);
    return 0;
}

static void states(void)
{
    MGM_HOST_CONFIG config = loud_host();
    ROUTING_PROTOCOL_CONFIG joins = no_callbacks;
    HANDLE a, b;
    int old, n;
    joins.pfnJoinAlertCallback = look_at_the_state;
    must(MgmHostStart(&config) == NO_ERROR);
    must(MgmRegisterMProtocol(&joins, 1, 1, &a) == NO_ERROR);
    must(MgmRegisterMProtocol(&joins, 2, 1, &b) == NO_ERROR);
    must(MgmTakeInterfaceOwnership(b, 1, 0) == NO_ERROR);
    for (n = 0; n < 2; n++) {
        int mine = n ? PTHREAD_CANCEL_DISABLE : PTHREAD_CANCEL_ENABLE;
        pthread_setcancelstate(mine, NULL);
        state_inside = -1;
        must(MgmAddGroupMembershipEntry(b, 0, 0, htonl(0xe1000001u + (DWORD)n), 0xffffffffu, 1, 0, 1) ==
             NO_ERROR);
        must(state_inside == mine);
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
        must(old == mine);
    }
}

static void inside_a_callback_the_cancellation_state_is_the_callers(void)
{
    int status = in_a_child(states, quiet());
    CHECK_EQ(WIFEXITED(status), 1);
    CHECK_EQ(WEXITSTATUS(status), 0);
}

/* ---- standard error ---- */

static void log_a_line(void)
{
    MGM_HOST_CONFIG config = loud_host();
    HANDLE handle;
    must(MgmHostStart(&config) == NO_ERROR);
    must(MgmDeRegisterMProtocol((HANDLE)5) == ERROR_INVALID_PARAMETER);
    must(MgmRegisterMProtocol(&no_callbacks, 1, 1, &handle) == NO_ERROR);
    must(MgmHostStop() == NO_ERROR);
}

static void a_log_whose_reader_has_gone_does_not_end_the_process(void)
{
    int ends[2], status;
    CHECK_EQ(pipe(ends), 0);
    close(ends[0]);
    status = in_a_child(log_a_line, ends[1]);
    close(ends[1]);
    CHECK_EQ(WIFEXITED(status), 1);
    CHECK_EQ(WEXITSTATUS(status), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    close(ends[0]);
    status = in_a_child(log_a_line, ends[1]);
    close(ends[1]);
    CHECK_EQ(WIFEXITED(status), 1);
    CHECK_EQ(WEXITSTATUS(status), 0);
}

static void keep_a_signal(void)
{
    sigset_t pipes, pending;
    sigemptyset(&pipes);
    sigaddset(&pipes, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipes, NULL);
    raise(SIGPIPE);
    log_a_line();
    /* The program's own signal is still there. */
    sigpending(&pending);
    must(sigismember(&pending, SIGPIPE) == 1);
}

static void a_signal_of_the_programs_own_stays(void)
{
    int ends[2], status;
    CHECK_EQ(pipe(ends), 0);
    close(ends[0]);
    status = in_a_child(keep_a_signal, ends[1]);
    close(ends[1]);
    CHECK_EQ(WIFEXITED(status), 1);
    CHECK_EQ(WEXITSTATUS(status), 0);
}

static void fill_and_log(void)
{
    char block[4096] = {0};
    int flags = fcntl(2, F_GETFL);
    fcntl(2, F_SETFL, flags | O_NONBLOCK);
    while (write(2, block, sizeof block) > 0)
        ;
    while (write(2, block, 1) > 0)
        ;
    fcntl(2, F_SETFL, flags);
    log_a_line();
    log_a_line();
}

static void a_log_that_nobody_reads_stops_nothing(void)
{
    int ends[2], status;
    CHECK_EQ(pipe(ends), 0);
    status = in_a_child(fill_and_log, ends[1]);
    CHECK_EQ(WIFEXITED(status), 1);
    CHECK_EQ(WEXITSTATUS(status), 0);
    close(ends[0]);
    close(ends[1]);
}

/* ---- a clock that goes back ---- */

static ULONGLONG clock_says = 1000;
static int asked;

static ULONGLONG our_clock(PVOID context)
{
    (void)context;
    return clock_says;
}

static DWORD go_back(DWORD s, DWORD sm, DWORD g, DWORD gm, PDWORD i, PDWORD h, PDWORD u, DWORD n, PBYTE p,
                     PBYTE r)
{
    (void)s, (void)sm, (void)g, (void)gm, (void)i, (void)h, (void)u, (void)n, (void)p, (void)r;
    if (++asked == 4) {
        clock_says = 5;
        packet_from(99);
    }
    return 0;
}

static void backwards(void)
{
    MGM_HOST_CONFIG config = loud_host();
    ROUTING_PROTOCOL_CONFIG callbacks = no_callbacks;
    HANDLE a;
    int n;
    config.pfnClock = our_clock;
    callbacks.pfnRpfCallback = go_back;
    must(MgmHostStart(&config) == NO_ERROR);
    must(MgmRegisterMProtocol(&callbacks, 1, 1, &a) == NO_ERROR);
    must(MgmTakeInterfaceOwnership(a, 1, 0) == NO_ERROR);
    must(MgmTakeInterfaceOwnership(a, 2, 0) == NO_ERROR);
    must(MgmAddGroupMembershipEntry(a, 0, 0, htonl(0xe1000001u), 0xffffffffu, 2, 0, 1) == NO_ERROR);
    for (n = 0; n < 6; n++)
        must(packet_from(1 + n % 3) == NO_ERROR);
    clock_says = 1000 + 901 * 1000;
    must(packet_from(1) == NO_ERROR);
    must(asked > 4);
}

static void a_clock_that_goes_back_inside_a_callback_makes_no_endless_loop(void)
{
    int status = in_a_child(backwards, -1);
    CHECK_EQ(WIFEXITED(status), 1);
    CHECK_EQ(WEXITSTATUS(status), 0);
}

int main(void)
{
    RUN(a_thread_that_is_cancelled_inside_a_call_goes_on_until_it_returns);
    RUN(inside_a_callback_the_cancellation_state_is_the_callers);
    RUN(a_log_whose_reader_has_gone_does_not_end_the_process);
    RUN(a_signal_of_the_programs_own_stays);
    RUN(a_log_that_nobody_reads_stops_nothing);
    RUN(a_clock_that_goes_back_inside_a_callback_makes_no_endless_loop);
    return check_summary();
}
