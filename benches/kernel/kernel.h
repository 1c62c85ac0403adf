/* What the parts of the kernel bench share. See main.c. */
#ifndef KERNEL_BENCH_H
#define KERNEL_BENCH_H

#include <arpa/inet.h>
#include <errno.h>
#include <linux/mroute.h>
#include <mgm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUP 0xef010101u
/* The first flow's source. Other numbers of flows are other flows, so that a router that runs on
 * does not know them yet. */
#define SOURCE (0x0a010000u + 16 * count)
#define MAX_OUT 3

/* ---- common.c ---- */

void fatal(const char *what);
#define MUST(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            fatal(#call);                                                                          \
    } while (0)

void check(DWORD code, const char *call);
#define GOOD(call) check(call, #call)

int64_t now(void);
/* Prints a line of results. */
void report(const char *what, const char *who, double value);
/* Moves the calling thread into another network namespace; gives the one it was in. */
int enter(const char *name);
void leave_to(int ns);

extern unsigned count; /* flows or entries */

/* ---- routers.c ---- */

struct interfaces {
    unsigned in, out[MAX_OUT], outs;
};
extern struct interfaces here;
struct interfaces find_interfaces(void);

/* A socket that owns the namespace's multicast forwarding, with a VIF for each interface. */
int mroute(struct interfaces on);
struct mfcctl mfc(unsigned flow, unsigned oifs);
/* Bare daemons; write an octet to `ready` once they run. */
void bare_router(int ready);
void bare_router_newest_first(int ready);

void mgm_start(void);
/* With two clients: one owns the incoming interface, the other one those that have members. */
void mgm_start_two(void);
/* The same in three processes: a host that serves at a path, and the two clients. */
void mgm_host(const char *path);
void mgm_client_in(void);
void mgm_client_out(void);
void mgm_member(BOOL add, unsigned index);
void mgm_take(void);
void mgm_release(void);

/* ---- traffic.c ---- */

enum mode {
    BURST = 'b',  /* as fast as it goes, and again what was not delivered */
    SINGLE = 's', /* one packet a flow, as fast as it goes */
    PACED = 'p',  /* one packet a flow, 10,000 a second */
    INSTALLED = 'i', /* as BURST, until the kernel has an entry, whether it delivers or not */
    WINDOW = 'w', /* no more at a time than what the router keeps up with */
};
struct outcome {
    unsigned delivered;
    double seconds; /* from the first packet to the last first delivery */
    int64_t *latency; /* of those delivered, sorted, ns */
};
struct outcome traffic(enum mode mode);

/* ---- tables.c ---- */

void tables(unsigned rounds);

#endif
