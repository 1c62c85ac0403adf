/* Rule A4 from C: memory runs out inside each function. This program has the process's malloc, and
 * makes the n-th allocation of a call fail, for n from 0 until the call finds all it wants: then
 * the call gave its code and changed nothing, and nothing ever aborts.
 * (tests/oom.rs does the same from Rust, more thoroughly.) */
#include "fixture.h"
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the allocator ------------------------------------------------------------------------------ */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static __thread int armed;     /* this thread is inside a call that is to run short */
static __thread long left;     /* allocations until one fails */
static __thread long seen;     /* allocations asked for */
static __thread int ran_short; /* one failed */

static int fails(void)
{
    if (!armed)
        return 0;
    seen++;
    if (left-- != 0)
        return 0;
    ran_short = 1;
    return 1;
}

void *malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return fails() ? NULL : __libc_calloc(count, size); }
void *realloc(void *block, size_t size) { return fails() ? NULL : __libc_realloc(block, size); }
void *aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __libc_memalign(alignment, size);
}
int posix_memalign(void **block, size_t alignment, size_t size)
{
    if (fails())
        return ENOMEM;
    *block = __libc_memalign(alignment, size);
    return *block == NULL ? ENOMEM : 0;
}

/* ---- the calls ------------------------------------------------------------------------------------ */

static client nobody;
static char state_before[1 << 18], state_after[1 << 18], out_buffer[1 << 18];
static HANDLE rows, none;
static DWORD at; /* what the call is about, where it is made several times */
static long total; /* allocations seen in all */

static DWORD c_register(void)
{
    static ROUTING_PROTOCOL_CONFIG config;
    return MgmRegisterMProtocol(&config, 4711, at, &none);
}
static DWORD c_take_b(void) { return take(&B, at); }
static DWORD c_take_igmp(void) { return take(&IGMP, at); }
static DWORD c_take_c(void) { return take(&C, at); }
static DWORD c_add_b(void) { return add(&B, "*", G1, at, JOIN); }
static DWORD c_add_c(void) { return add(&C, "*", "*", at, JOIN | FORWARD); }
static DWORD c_add_igmp(void) { return add(&IGMP, S4, G2, at, JOIN); }
static DWORD c_many(void)
{
    return MgmAddGroupMembershipEntry(B.handle, 0, 0, htonl(0xef020000u + at), ALL_ONES, 2, 0, JOIN);
}
static DWORD c_packet(void) { return packet_in(at, S1, G1); }
static DWORD c_packets(void)
{
    char source[32];
    snprintf(source, sizeof source, "10.1.1.%u", (unsigned)at);
    return packet_in(1, source, G1);
}
static MIB_IPMCAST_MFE *key(void)
{
    static MIB_IPMCAST_MFE mfe;
    mfe.dwSource = ip(S1);
    mfe.dwGroup = ip(G1);
    mfe.dwUpStrmNgbr = ip("10.1.9.9");
    return &mfe;
}
static DWORD size, count;
static BYTE *buffer(void)
{
    size = sizeof out_buffer;
    return (BYTE *)out_buffer;
}
static DWORD c_mfe(void) { return MgmGetMfe(key(), &size, buffer()); }
static DWORD c_first(void) { return MgmGetFirstMfe(&size, buffer(), &count); }
static DWORD c_next(void) { return MgmGetNextMfe(key(), &size, buffer(), &count); }
static DWORD c_stats(void) { return MgmGetMfeStats(key(), &size, buffer(), MGM_MFE_STATS_1); }
static DWORD c_first_stats(void)
{
    return MgmGetFirstMfeStats(&size, buffer(), &count, MGM_MFE_STATS_0);
}
static DWORD c_next_stats(void)
{
    return MgmGetNextMfeStats(key(), &size, buffer(), &count, MGM_MFE_STATS_1);
}
static DWORD c_set(void) { return MgmSetMfe(A.handle, key()); }
static DWORD c_rows(void) { return MgmGroupEnumerationStart(A.handle, ALL_SOURCES, &rows); }
static DWORD c_next_rows(void) { return MgmGroupEnumerationGetNext(rows, &size, buffer(), &count); }
static DWORD c_end_rows(void) { return MgmGroupEnumerationEnd(rows); }
static DWORD c_owner(void) { return MgmGetProtocolOnInterface(1, 0, &size, &count); }
static DWORD c_state(void) { return MgmHostGetState(&size, buffer()); }
static DWORD c_route(void) { return route_changed(1); }
static DWORD c_down(void) { return MgmHostInterfaceDown(12, 0); }
static DWORD c_drop_b(void) { return drop(&B, "*", G1, at, JOIN | FORWARD); }
static DWORD c_release_b(void) { return release(&B, at); }
static DWORD c_release_a(void) { return release(&A, at); }
static DWORD c_deregister(void) { return MgmDeRegisterMProtocol(none); }
static DWORD c_stop(void) { return MgmHostStop(); }

enum { MEMORY = ERROR_NOT_ENOUGH_MEMORY, OTHER = ERROR_CAN_NOT_COMPLETE };
static const struct step {
    const char *name;
    DWORD (*call)(void);
    DWORD from, to;   /* `at` */
    DWORD short_code; /* for memory that ran out */
    int told;         /* callbacks may have come before */
} steps[] = {
    {"MgmRegisterMProtocol", c_register, 1, 40, MEMORY, 0},
    {"MgmTakeInterfaceOwnership", c_take_b, 10, 40, MEMORY, 0},
    {"MgmTakeInterfaceOwnership by IGMP", c_take_igmp, 4, 5, MEMORY, 0},
    {"MgmAddGroupMembershipEntry by IGMP", c_add_igmp, 4, 5, MEMORY, 0},
    {"MgmTakeInterfaceOwnership beside IGMP", c_take_c, 4, 4, MEMORY, 1},
    {"MgmAddGroupMembershipEntry on many interfaces", c_add_b, 10, 40, MEMORY, 0},
    {"MgmAddGroupMembershipEntry for many groups", c_many, 1, 300, MEMORY, 0},
    {"MgmHostReceive", c_packet, 1, 1, MEMORY, 1},
    {"MgmHostReceive again", c_packet, 1, 1, MEMORY, 1},
    {"MgmHostReceive on the wrong interface", c_packet, 10, 10, MEMORY, 0},
    {"MgmHostReceive for many flows", c_packets, 3, 60, MEMORY, 1},
    {"MgmAddGroupMembershipEntry for everything", c_add_c, 3, 3, MEMORY, 0},
    {"MgmGetMfe", c_mfe, 0, 0, OTHER, 0},
    {"MgmGetFirstMfe", c_first, 0, 0, OTHER, 0},
    {"MgmGetNextMfe", c_next, 0, 0, OTHER, 0},
    {"MgmGetMfeStats", c_stats, 0, 0, OTHER, 0},
    {"MgmGetFirstMfeStats", c_first_stats, 0, 0, OTHER, 0},
    {"MgmGetNextMfeStats", c_next_stats, 0, 0, OTHER, 0},
    {"MgmSetMfe", c_set, 0, 0, OTHER, 0},
    {"MgmGroupEnumerationStart", c_rows, 0, 0, MEMORY, 0},
    {"MgmGroupEnumerationGetNext", c_next_rows, 0, 0, MEMORY, 0},
    {"MgmGroupEnumerationEnd", c_end_rows, 0, 0, OTHER, 0},
    {"MgmGetProtocolOnInterface", c_owner, 0, 0, OTHER, 0},
    {"MgmHostGetState", c_state, 0, 0, MEMORY, 0},
    {"MgmHostRouteChanged", c_route, 0, 0, MEMORY, 1},
    {"MgmHostInterfaceDown", c_down, 0, 0, MEMORY, 0},
    {"MgmDeleteGroupMembershipEntry", c_drop_b, 10, 40, OTHER, 0},
    {"MgmReleaseInterfaceOwnership with many memberships", c_release_b, 2, 2, OTHER, 0},
    {"MgmReleaseInterfaceOwnership", c_release_b, 10, 40, OTHER, 0},
    {"MgmReleaseInterfaceOwnership of the incoming interface", c_release_a, 1, 1, OTHER, 0},
    {"MgmDeRegisterMProtocol", c_deregister, 0, 0, OTHER, 0},
    {"MgmHostStop", c_stop, 0, 0, MEMORY, 0},
};
enum { STEPS = sizeof steps / sizeof steps[0] };

/* The state without what is counted: how long callbacks took, and also what was tried in vain. */
static void look(char *text, size_t room)
{
    static const char *const tallies[] = {"\"new_flows\":", "\"wrong_interface\":", "\"refused_changes\":",
                                          "\"count\":", "\"milliseconds\":"};
    DWORD needed = (DWORD)room;
    size_t n;
    CHECK_CODE(MgmHostGetState(&needed, (PBYTE)text), NO_ERROR);
    for (n = 0; n < sizeof tallies / sizeof *tallies; n++) {
        char *at = text;
        while ((at = strstr(at, tallies[n])) != NULL) {
            at += strlen(tallies[n]);
            memmove(at, at + strspn(at, "0123456789"), strlen(at + strspn(at, "0123456789")) + 1);
        }
    }
}

static int succeeded(DWORD code)
{
    return code == NO_ERROR || code == ERROR_MORE_DATA || code == ERROR_NO_MORE_ITEMS;
}

/* One call, with its allocations failing one after the other until it succeeds. */
static void call_short(const struct step *step)
{
    long n;
    /* The next look at the clock does what memory ran out for. */
    later(0);
    forget_all();
    look(state_before, sizeof state_before);
    for (n = 0;; n++) {
        DWORD code;
        forget_all();
        left = n;
        seen = 0;
        ran_short = 0;
        armed = 1;
        code = step->call();
        armed = 0;
        total += seen;
        if (succeeded(code))
            return;
        if (!CHECK(ran_short) || !CHECK_CODE(code, step->short_code) || !CHECK(n < 1000)) {
            printf("  %s, %u, allocation %ld\n", step->name, (unsigned)at, n);
            return;
        }
        if (!step->told) {
            CHECK_LINES(A, "");
            CHECK_LINES(B, "");
            CHECK_LINES(C, "");
            CHECK_LINES(IGMP, "");
        }
        look(state_after, sizeof state_after);
        if (!CHECK(strcmp(state_before, state_after) == 0))
            printf("  %s, %u, allocation %ld\n", step->name, (unsigned)at, n);
    }
}

static void all_calls(void)
{
    static const DWORD on_1[] = {1, 0}, on_2[] = {2, 0}, on_3[] = {3, 0}, on_none[] = {0};
    unsigned n;
    start_host();
    enrol_with(&A, on_1);
    enrol_with(&B, on_2);
    enrol_with(&C, on_3);
    enrol_with(&IGMP, on_none);
    for (n = 0; n < STEPS; n++)
        for (at = steps[n].from; at <= steps[n].to; at++) {
            if (steps[n].call == c_stop) {
                armed = 1;
                left = 0;
                CHECK_CODE(MgmHostStop(), NO_ERROR); /* ends with no memory at all */
                armed = 0;
                break;
            }
            call_short(&steps[n]);
        }
    CHECK(total > 500); /* the library's memory does come from here */
}

/* An abort is the end of a process, not of this program. */
static void a4_every_function_at_every_allocation(void)
{
    int status = 0;
    pid_t child;
    fflush(stdout);
    child = fork();
    if (child == 0) {
        alarm(300);
        all_calls();
        fflush(stdout);
        _exit(check_wrong != 0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    if (!CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0))
        printf("  the process ended with status %#x\n", (unsigned)status);
}

static void a4_starting_without_memory(void)
{
    MGM_HOST_CONFIG config;
    HANDLE handle = NULL;
    memset(&config, 0, sizeof config);
    memset(&nobody, 0, sizeof nobody);
    config.dwSize = (DWORD)sizeof config;
    armed = 1;
    left = 0;
    CHECK_CODE(MgmHostStart(&config), ERROR_NOT_ENOUGH_MEMORY);
    left = 0;
    CHECK_CODE(MgmRegisterMProtocol(&nobody.config, 1, 1, &handle), ERROR_NOT_ENOUGH_MEMORY);
    armed = 0;
    CHECK(handle == NULL);
}

int main(void)
{
    static char lines[4096];
    setvbuf(stdout, lines, _IOLBF, sizeof lines);
    RUN(a4_every_function_at_every_allocation);
    RUN(a4_starting_without_memory);
    return check_summary();
}
