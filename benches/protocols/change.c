/* Channel changes: a host leaves one group and joins the next; how long until the first packet? */
#include "host.h"
#include <stdio.h>
#include <stdlib.h>

#define GROUP 0xef070001u  /* 239.7.0.1 */
#define SOURCE 0x0a010002u /* 10.1.0.2 */
#define HOST 0x0a020002u   /* 10.2.0.2 */
#define MS 1000000
#define PATIENCE (3000ll * MS)

static int source, host, link_of_host;

/* Every group has packets all the time, ten a second, so that the router knows the flows. The one that is waited for has one
 * each 25 µs, so that a wait for the source is not measured. Goes on until `end` or the packet; true: it came. */
static int goes_on(int64_t end, uint32_t wanted)
{
    static int64_t next_of_all, next_of_wanted;
    static unsigned turn;
    if (next_of_all == 0)
        next_of_all = now();
    next_of_wanted = now();
    for (;;) {
        int64_t time = now(), until = next_of_all;
        uint32_t heard;
        if (time >= end)
            return 0;
        if (time >= next_of_all) {
            send_data(source, SOURCE, GROUP + turn++ % count);
            next_of_all += 100ll * MS / count;
            continue;
        }
        if (wanted != 0 && time >= next_of_wanted) {
            send_data(source, SOURCE, wanted);
            next_of_wanted = time + MS / 40;
            continue;
        }
        if (wanted != 0 && next_of_wanted < until)
            until = next_of_wanted;
        heard = hear(link_of_host, until < end ? until : end);
        if (heard != 0 && heard == wanted)
            return 1;
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void channel_changes(void)
{
    double *took = calloc(count, sizeof *took);
    unsigned n, came = 0, tries;
    if (took == NULL)
        fatal("memory");
    source = sender("src");
    host = sender("rcv1");
    link_of_host = receiver("rcv1");
    /* The router may still be starting. */
    for (tries = 0, n = 0; n == 0 && tries < 200; tries++) {
        send_report(host, HOST, TO_EXCLUDE, GROUP, 1, 0);
        n = (unsigned)goes_on(now() + 100 * MS, GROUP);
    }
    if (n == 0)
        fprintf(stderr, "host: nothing comes by %s\n", who);
    send_report(host, HOST, TO_INCLUDE, GROUP, 1, 0);
    goes_on(now() + 3000ll * MS, 0);
    for (n = 0; n < count; n++) {
        int64_t begun = now();
        send_report(host, HOST, TO_EXCLUDE, GROUP + n, 1, 0);
        if (goes_on(begun + PATIENCE, GROUP + n))
            took[came++] = (double)(now() - begun) / 1e3;
        send_report(host, HOST, TO_INCLUDE, GROUP + n, 1, 0);
        goes_on(now() + 20 * MS, 0);
    }
    qsort(took, came, sizeof *took, by_value);
    report("channel change: lost", count - came);
    if (came > 0) {
        report("channel change: p50 µs", took[came / 2]);
        report("channel change: p99 µs", took[came - 1 - came / 100]);
    }
    free(took);
}
