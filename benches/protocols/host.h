/* What the parts of the protocols' bench share. See main.c. */
#ifndef PROTOCOLS_BENCH_H
#define PROTOCOLS_BENCH_H

#include <stddef.h>
#include <stdint.h>

#define MOST_RECORDS 100 /* in one report */

/* IGMPv3's kinds of records. */
enum record { TO_INCLUDE = 3, TO_EXCLUDE = 4, ALLOW = 5 };

/* ---- wire.c: sockets in network namespaces, and packets. Addresses in host byte order. ---- */

void fatal(const char *what);
#define MUST(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            fatal(#call);                                                                          \
    } while (0)

int64_t now(void); /* ns, monotonic */
/* Moves this thread into a network namespace. */
void enter(const char *name);

/* A raw socket of a namespace that sends by its eth0. */
int sender(const char *namespace);
/* A packet socket of a namespace: everything that comes in on its eth0. */
int receiver(const char *namespace);

void send_data(int s, uint32_t source, uint32_t group);
/* One IGMPv3 report with a record for each of the groups, which follow each other; source 0: none. */
void send_report(int s, uint32_t from, enum record kind, uint32_t group, unsigned groups, uint32_t source);
/* A PIM hello that holds for 105 s. */
void send_hello(int s, uint32_t from);
/* Waits until `end` for a UDP packet to a group, which it gives; 0: none came. */
uint32_t hear(int s, int64_t end);

/* ---- parts of the bench ---- */

extern unsigned count;
extern const char *who;
/* Prints a line of results: what<TAB>count<TAB>who<TAB>value. */
void report(const char *what, double value);

void channel_changes(void);
/* The router's processes, up to a null pointer. */
void joins(char **pids);
void reroute(void);

#endif
