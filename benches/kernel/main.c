/* kernel: new flows, changes and statistics on Linux's multicast forwarding, by libmgm and by bare
 * loops of system calls, in the same network namespaces.
 *
 *     kernel table ENTRIES ROUNDS         one change over all entries, statistics, withdrawal
 *     kernel flows WHO FLOWS burst        resolve flows whose senders keep sending
 *     kernel flows WHO FLOWS single       one packet for each flow, as fast as it goes
 *     kernel flows WHO FLOWS paced        one packet for each flow, 10,000 a second
 *     kernel flows WHO FLOWS installed    as burst, but counts the kernel's entries, not deliveries
 *     kernel flows WHO FLOWS window       as many at a time as the router keeps up with
 *
 * WHO: mgm; two, which is mgm with a client for the incoming interface and one for the others; apart,
 * with these two in processes of their own; bare, with the system's own receive buffer, oldest first;
 * bare64, with one of 64 MiB, newest first; or the NAME of another router that runs already. Run in a namespace with the
 * interfaces to-src and to-rcv1 .. to-rcv3 (as many as there are), whose other ends are eth0 in the
 * namespaces src and rcv1 (benches/run.sh makes them). Prints `what<TAB>entries<TAB>who<TAB>value`.
 *
 * A flow is a source SOURCE + n that sends to 239.1.1.1. */
#include "kernel.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_PROCESSES 3
static pid_t processes[MOST_PROCESSES];
static unsigned running;

/* Starts a process of the router, and waits until it runs. What `loops` runs does not return, and
 * writes an octet itself; what `once` runs returns, and threads of the library do the rest. */
static void start_process(void (*loops)(int), void (*once)(void))
{
    int ready[2];
    char byte;
    pid_t process;
    MUST(pipe(ready));
    MUST(process = fork());
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ready[0]);
        if (loops != NULL)
            loops(ready[1]);
        once();
        MUST((int)write(ready[1], "", 1));
        for (;;)
            pause();
    }
    processes[running++] = process;
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1)
        fatal("the router did not start");
    close(ready[0]);
}

static char path[64];

static void serve(void)
{
    mgm_host(path);
}

/* Starts the router of this name, where it is one of ours. */
static void start(const char *who)
{
    if (strcmp(who, "bare") == 0) {
        start_process(bare_router, NULL);
    } else if (strcmp(who, "bare64") == 0) {
        start_process(bare_router_newest_first, NULL);
    } else if (strcmp(who, "mgm") == 0) {
        start_process(NULL, mgm_start);
    } else if (strcmp(who, "two") == 0) {
        start_process(NULL, mgm_start_two);
    } else if (strcmp(who, "apart") == 0) {
        snprintf(path, sizeof path, "/tmp/mgm-bench-%d", (int)getpid());
        start_process(NULL, serve);
        setenv("MGM_HOST", path, 1);
        start_process(NULL, mgm_client_in);
        start_process(NULL, mgm_client_out);
        unsetenv("MGM_HOST");
    }
}

static void stop(void)
{
    while (running > 0) {
        pid_t process = processes[--running];
        kill(process, SIGKILL);
        waitpid(process, NULL, 0);
    }
    if (path[0] != 0)
        unlink(path);
}

static void flows(const char *who, const char *mode)
{
    char what[64];
    struct outcome seen;
    start(who);
    seen = traffic((enum mode)mode[0]);
    snprintf(what, sizeof what, "flows %s: lost", mode);
    report(what, who, count - seen.delivered);
    if (seen.delivered > 0) {
        snprintf(what, sizeof what, "flows %s: resolved/s", mode);
        report(what, who, seen.delivered / seen.seconds);
        if (mode[0] == PACED || mode[0] == SINGLE) {
            snprintf(what, sizeof what, "flows %s: p50 µs", mode);
            report(what, who, (double)seen.latency[seen.delivered / 2] / 1e3);
            snprintf(what, sizeof what, "flows %s: p99 µs", mode);
            report(what, who, (double)seen.latency[seen.delivered - 1 - seen.delivered / 100] / 1e3);
        }
    }
    stop();
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "table") == 0) {
        count = (unsigned)strtoul(argv[2], NULL, 10);
        here = find_interfaces();
        if (here.outs < 2)
            fatal("to-rcv2");
        tables((unsigned)strtoul(argv[3], NULL, 10));
    } else if (argc == 5 && strcmp(argv[1], "flows") == 0) {
        count = (unsigned)strtoul(argv[3], NULL, 10);
        here = find_interfaces();
        flows(argv[2], argv[4]);
    } else {
        fprintf(stderr, "usage: kernel flows WHO FLOWS burst|single|paced|installed|window\n"
                        "       kernel table ENTRIES ROUNDS\n");
        return 2;
    }
    _exit(0); /* the bench is over, whatever threads still do */
}
