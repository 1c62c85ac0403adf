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
 * WHO: mgm; bare, with the system's own receive buffer, oldest first; bare64, with one of 64 MiB,
 * newest first; or the NAME of another router that runs already. Run in a namespace with the
 * interfaces to-src and to-rcv1 .. to-rcv3 (as many as there are), whose other ends are eth0 in the
 * namespaces src and rcv1 (benches/run.sh makes them). Prints `what<TAB>entries<TAB>who<TAB>value`.
 *
 * A flow is a source SOURCE + n that sends to 239.1.1.1. */
#include "kernel.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Starts the router of this name, where it is one of ours. */
static pid_t start(const char *who)
{
    int ready[2];
    char byte;
    pid_t router;
    void (*bare)(int) = strcmp(who, "bare") == 0     ? bare_router
                        : strcmp(who, "bare64") == 0 ? bare_router_newest_first
                                                     : NULL;
    if (bare == NULL && strcmp(who, "mgm") != 0)
        return 0;
    MUST(pipe(ready));
    MUST(router = fork());
    if (router == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ready[0]);
        if (bare != NULL)
            bare(ready[1]);
        mgm_start();
        MUST((int)write(ready[1], "", 1));
        for (;;)
            pause();
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1)
        fatal("the router did not start");
    close(ready[0]);
    return router;
}

static void flows(const char *who, const char *mode)
{
    char what[64];
    pid_t router = start(who);
    struct outcome seen = traffic((enum mode)mode[0]);
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
    if (router > 0) {
        kill(router, SIGKILL);
        waitpid(router, NULL, 0);
    }
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
