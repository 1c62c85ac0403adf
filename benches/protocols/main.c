/* host: plays the hosts and the sources of the protocols' bench (run.sh), beside a router that runs already.
 *
 *     host change WHO GROUPS          channel changes: from a host's join to its first packet
 *     host joins WHO GROUPS PID...    many groups joined at once; the router's processes
 *     host reroute WHO FLOWS          a route moves under many flows
 *
 * Each of the namespaces src and rcv1 (for reroute: one, two and member) is on a link of the router by an interface eth0. Prints
 * lines `what<TAB>entries<TAB>WHO<TAB>value`. */
#include "host.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

unsigned count;
const char *who;

void report(const char *what, double value)
{
    printf("%s\t%u\t%s\t%.3f\n", what, count, who, value);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    prctl(PR_SET_TIMERSLACK, 1UL); /* short waits are to be short */
    if (argc >= 4) {
        who = argv[2];
        count = (unsigned)strtoul(argv[3], NULL, 10);
    }
    if (argc == 4 && strcmp(argv[1], "change") == 0) {
        channel_changes();
    } else if (argc > 4 && strcmp(argv[1], "joins") == 0) {
        joins(argv + 4);
    } else if (argc == 4 && strcmp(argv[1], "reroute") == 0) {
        reroute();
    } else {
        fprintf(stderr, "usage: host change WHO GROUPS\n       host joins WHO GROUPS PID...\n       host reroute WHO FLOWS\n");
        return 2;
    }
    return 0;
}
