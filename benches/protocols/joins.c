/* Many groups joined at once: how long until the router has them all, its processor time and memory for each. */
#include "host.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define GROUP 0xef400001u  /* 239.64.0.1 */
#define SOURCE 0x0a010002u /* 10.1.0.2 */
#define HOST 0x0a020002u   /* 10.2.0.2 */
#define MS 1000000ll
#define PATIENCE (120000 * MS)
#define SAMPLE 200

static int source, host, link_of_host;

/* The first number behind `label` in a file of /proc; 0: there is none. */
static double number_of(const char *path, const char *label)
{
    char format[64], line[256];
    double value = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    snprintf(format, sizeof format, "%s %%lf", label);
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, format, &value) == 1)
            break;
    fclose(file);
    return value;
}

/* Octets of memory that the processes have for themselves. */
static double memory(char **pids)
{
    char path[64];
    double sum = 0;
    for (; *pids != NULL; pids++) {
        snprintf(path, sizeof path, "/proc/%s/smaps_rollup", *pids);
        sum += 1024 * number_of(path, "Private_Dirty:");
    }
    return sum;
}

/* ns that the processes' threads have run. */
static double processor(char **pids)
{
    double sum = 0;
    for (; *pids != NULL; pids++) {
        char path[512];
        const struct dirent *task;
        DIR *tasks;
        snprintf(path, sizeof path, "/proc/%s/task", *pids);
        if ((tasks = opendir(path)) == NULL)
            continue;
        while ((task = readdir(tasks)) != NULL) {
            snprintf(path, sizeof path, "/proc/%s/task/%.20s/schedstat", *pids, task->d_name);
            sum += number_of(path, "");
        }
        closedir(tasks);
    }
    return sum;
}

static void wait_until(int64_t end)
{
    while (now() < end)
        hear(link_of_host, end);
}

/* Sends packets of a group until one arrives or the time is over; true: one did. */
static int is_joined(uint32_t group, int64_t end)
{
    while (now() < end) {
        int64_t next = now() + MS / 10;
        uint32_t heard;
        send_data(source, SOURCE, group);
        while ((heard = hear(link_of_host, next)) != 0)
            if (heard == group)
                return 1;
    }
    return 0;
}

void joins(char **pids)
{
    uint32_t last = GROUP + count - 1;
    double memory_before, processor_before;
    int64_t begun, ended;
    unsigned n, sample = count < SAMPLE ? count : SAMPLE, there = 0;
    int came = 0;
    source = sender("src");
    host = sender("rcv1");
    link_of_host = receiver("rcv1");
    /* The router may still be starting: until a group of no account gets through. Each try is with another one, for the kernel
     * reports a flow that was left unanswered only after ten seconds again. */
    for (n = 0; n < 200 && !came; n++) {
        send_report(host, HOST, TO_EXCLUDE, GROUP - 1 - n, 1, 0);
        came = is_joined(GROUP - 1 - n, now() + 100 * MS);
    }
    if (!came)
        fprintf(stderr, "host: nothing comes by %s\n", who);
    is_joined(last, now() + 100 * MS); /* known, and wanted by nobody */
    wait_until(now() + 1000 * MS);
    memory_before = memory(pids);
    processor_before = processor(pids);
    begun = now();
    for (n = 0; n < count; n += MOST_RECORDS) {
        send_report(host, HOST, TO_EXCLUDE, GROUP + n, count - n < MOST_RECORDS ? count - n : MOST_RECORDS, 0);
        wait_until(begun + (n / MOST_RECORDS + 1) * MS / 5);
    }
    /* Reports are read in order, and where one was lost a host says it again. */
    for (came = 0, ended = begun; !came && now() < begun + PATIENCE;) {
        came = is_joined(last, now() + 100 * MS);
        ended = now();
        if (!came)
            send_report(host, HOST, TO_EXCLUDE, last, 1, 0);
    }
    if (!came) {
        report("groups joined: lost", count);
        return;
    }
    report("groups joined: ms", (double)(ended - begun) / MS);
    wait_until(now() + 500 * MS); /* what is left to do for the groups upstream */
    report("groups joined: µs of processor time each", (processor(pids) - processor_before) / 1e3 / count);
    report("groups joined: octets each", (memory(pids) - memory_before) / count);
    for (n = 0; n < sample; n++)
        there += (unsigned)is_joined(GROUP + n * (count / sample), now() + 1000 * MS);
    report("groups joined: lost", count - (double)count * there / sample);
}
