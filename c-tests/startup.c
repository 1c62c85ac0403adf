/* The interaction of "Starting up a multicast routing protocol", as two real clients live it:
 * IGMP is there first and has an interface with groups on it; a routing protocol is loaded, takes
 * the interface over, learns the groups, and shuts down again.
 *
 *     startup [INTERFACE-INDEX]      (default 1)
 *
 * Prints each call with its return code and each callback. Ends with status 1 at the first thing
 * that is not as the rules have it. */
#include "codes.h"
#include "startup.h"
#include <arpa/inet.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WHO "IGMP"

static HANDLE igmp;
static DWORD interface_index = 1;
static int depth; /* callbacks run while the call that caused them waits: no lock is needed */

/* ---- the transcript ------------------------------------------------------------------------- */

static char heard_by_igmp[2048], heard_by_protocol[2048];

static void surprise(const char *what)
{
    printf("\nSURPRISE: %s\n", what);
    fflush(stdout);
    _exit(1);
}

static void line(const char *who, const char *verb, const char *format, va_list arguments)
{
    printf("%*s%s%s%s", 4 * depth + 2, "", who, verb[0] ? " " : "", verb);
    vprintf(format, arguments);
    printf("\n");
}

static void calls(const char *who, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    line(who, "calls ", format, arguments);
    va_end(arguments);
    depth++;
}

static void returned(DWORD code, DWORD expected)
{
    depth--;
    printf("%*s  = %s\n", 4 * depth + 2, "", code_name(code));
    if (code != expected) {
        printf("expected %s\n", code_name(expected));
        surprise("a return code");
    }
}

static void hears(const char *who, const char *format, ...)
{
    char *to = strcmp(who, WHO) == 0 ? heard_by_igmp : heard_by_protocol;
    size_t used = strlen(to), size = sizeof heard_by_igmp;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(to + used, size - used, format, arguments);
    va_end(arguments);
    used = strlen(to);
    snprintf(to + used, size - used, "\n");
    va_start(arguments, format);
    line(who, "hears ", format, arguments);
    va_end(arguments);
    depth++;
}

static void done(void) { depth--; }

static void note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    line("", "", format, arguments);
    va_end(arguments);
}

static void expect(int holds, const char *what)
{
    if (!holds)
        surprise(what);
}

static const transcript shared = {calls, returned, hears, done, note, expect};

static void step(int number, const char *what) { printf("\n%d. %s\n", number, what); }

/* Compares what a client heard since the last time, in its order (rule A7). */
static void heard(const char *who, const char *expected)
{
    char *text = strcmp(who, WHO) == 0 ? heard_by_igmp : heard_by_protocol;
    if (strcmp(text, expected) != 0) {
        printf("\n%s heard:\n%sexpected:\n%s", who, text, expected);
        surprise("the callbacks");
    }
    text[0] = 0;
}

/* ---- IGMP ------------------------------------------------------------------------------------ */

static const char *const groups[][2] = {{NULL, G1}, {NULL, G2}, {S3, G3}};

static void change_groups(int add)
{
    size_t n;
    for (n = 0; n < sizeof groups / sizeof groups[0]; n++) {
        DWORD source = groups[n][0] ? inet_addr(groups[n][0]) : 0;
        DWORD mask = source ? 0xffffffffu : 0, group = inet_addr(groups[n][1]), code;
        calls(WHO, "%s (%s,%s), interface %u",
              add ? "MgmAddGroupMembershipEntry" : "MgmDeleteGroupMembershipEntry",
              groups[n][0] ? groups[n][0] : "*", groups[n][1], (unsigned)interface_index);
        code = add ? MgmAddGroupMembershipEntry(igmp, source, mask, group, 0xffffffffu,
                                                interface_index, 0, MGM_JOIN_STATE_FLAG)
                   : MgmDeleteGroupMembershipEntry(igmp, source, mask, group, 0xffffffffu,
                                                   interface_index, 0, MGM_JOIN_STATE_FLAG);
        returned(code, NO_ERROR);
    }
}

static DWORD disable_igmp(DWORD index, DWORD next_hop)
{
    (void)next_hop;
    hears(WHO, "DISABLE_IGMP interface %u", (unsigned)index);
    done();
    return NO_ERROR;
}

static DWORD enable_igmp(DWORD index, DWORD next_hop)
{
    (void)next_hop;
    hears(WHO, "ENABLE_IGMP interface %u", (unsigned)index);
    change_groups(1); /* from inside the callback: rule A6 */
    done();
    return NO_ERROR;
}

static DWORD join_alert(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
                        BOOL member)
{
    struct in_addr address;
    char text[INET_ADDRSTRLEN];
    (void)source_mask;
    (void)group_mask;
    address.s_addr = group;
    expect(source == 0, "a join alert for a group");
    hears(WHO, "JOIN (*,%s) %s", inet_ntop(AF_INET, &address, text, sizeof text),
          member ? "member" : "flow");
    done();
    return NO_ERROR;
}

static DWORD prune_alert(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
                         DWORD index, DWORD next_hop, BOOL member, PDWORD timeout)
{
    struct in_addr address;
    char text[INET_ADDRSTRLEN];
    (void)source_mask;
    (void)group_mask;
    (void)next_hop;
    (void)timeout;
    address.s_addr = group;
    expect(source == 0, "a prune alert for a group");
    hears(WHO, "PRUNE (*,%s) interface %u %s", inet_ntop(AF_INET, &address, text, sizeof text),
          (unsigned)index, member ? "member" : "flow");
    done();
    return NO_ERROR;
}

static void igmp_starts(void)
{
    ROUTING_PROTOCOL_CONFIG config;
    DWORD code;
    memset(&config, 0, sizeof config);
    config.pfnJoinAlertCallback = join_alert;
    config.pfnPruneAlertCallback = prune_alert;
    config.pfnDisableIgmpCallback = disable_igmp;
    config.pfnEnableIgmpCallback = enable_igmp;
    calls(WHO, "MgmRegisterMProtocol");
    code = MgmRegisterMProtocol(&config, MS_IP_IGMP, 1, &igmp);
    returned(code, NO_ERROR);
    calls(WHO, "MgmTakeInterfaceOwnership, interface %u", (unsigned)interface_index);
    code = MgmTakeInterfaceOwnership(igmp, interface_index, 0);
    returned(code, NO_ERROR);
    change_groups(1);
}

static void igmp_stops(void)
{
    DWORD code;
    change_groups(0);
    calls(WHO, "MgmReleaseInterfaceOwnership, interface %u", (unsigned)interface_index);
    code = MgmReleaseInterfaceOwnership(igmp, interface_index, 0);
    returned(code, NO_ERROR);
    calls(WHO, "MgmDeRegisterMProtocol");
    code = MgmDeRegisterMProtocol(igmp);
    returned(code, NO_ERROR);
}

/* ---- the process --------------------------------------------------------------------------- */

static void *load(const startup_protocol **protocol)
{
    char path[4096];
    void *object;
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 32);
    expect(length > 0, "the program's own path");
    path[length] = 0;
    snprintf(strrchr(path, '/') + 1, 31, "startup_protocol.so");
    object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL)
        surprise(dlerror());
    *protocol = (const startup_protocol *)dlsym(object, "startup_protocol_table");
    expect(*protocol != NULL, "startup_protocol_table in the shared object");
    return object;
}

int main(int argc, char **argv)
{
    const startup_protocol *protocol;
    void *object;
    if (argc > 1)
        interface_index = (DWORD)strtoul(argv[1], NULL, 10);
    if (argc > 2 || interface_index == 0) {
        fprintf(stderr, "usage: startup [INTERFACE-INDEX]\n");
        return 2;
    }

    step(1, "IGMP registers, takes the interface and has members on it");
    igmp_starts();
    heard(WHO, "");

    step(2, "A routing protocol is loaded, registers and takes the interface over");
    object = load(&protocol);
    protocol->start(&shared, interface_index);
    {
        char igmp_expected[256], protocol_expected[512];
        unsigned i = (unsigned)interface_index;
        snprintf(igmp_expected, sizeof igmp_expected,
                 "DISABLE_IGMP interface %u\nENABLE_IGMP interface %u\n"
                 "JOIN (*," G1 ") member\nJOIN (*," G2 ") member\n", i, i);
        heard(WHO, igmp_expected);
        snprintf(protocol_expected, sizeof protocol_expected,
                 "PRUNE (*," G1 ") interface %u member\nPRUNE (*," G2 ") interface %u member\n"
                 "LOCAL_JOIN (*," G1 ") interface %u\nLOCAL_JOIN (*," G2 ") interface %u\n"
                 "LOCAL_JOIN (" S3 "," G3 ") interface %u\n", i, i, i, i, i);
        heard("protocol", protocol_expected);
    }

    step(3, "It enumerates the groups there are");
    protocol->enumerate();
    heard(WHO, "");
    heard("protocol", "");

    step(4, "It shuts down: the interface is IGMP's again");
    protocol->stop();
    {
        char igmp_expected[512];
        unsigned i = (unsigned)interface_index;
        snprintf(igmp_expected, sizeof igmp_expected,
                 "DISABLE_IGMP interface %u\n"
                 "PRUNE (*," G1 ") interface %u member\nPRUNE (*," G2 ") interface %u member\n"
                 "ENABLE_IGMP interface %u\n", i, i, i, i);
        heard(WHO, igmp_expected);
        heard("protocol", "JOIN (*," G1 ") member\nJOIN (*," G2 ") member\n");
    }
    expect(dlclose(object) == 0, "dlclose"); /* its code may be gone now: rule A8 */
    printf("  the shared object is unloaded\n");

    step(5, "IGMP goes too");
    igmp_stops();
    heard(WHO, "");

    printf("\nstartup: every return code and callback was as specified\n");
    return 0;
}
