/* A routing protocol as a shared object, loaded by startup.c with dlopen. It does what the guide's
 * page "Starting up a multicast routing protocol" asks of one, and nothing else: it owns one
 * interface and keeps the memberships that IGMP tells it of. */
#include "startup.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROTOCOL PROTOCOL_ID(PROTO_TYPE_MCAST, 0x3fff, 1)
#define WHO "protocol"

static const transcript *t;
static HANDLE protocol;
static DWORD interface_index;

static const char *entry(DWORD source, DWORD group)
{
    static char text[2][48];
    static int turn;
    struct in_addr s, g;
    char source_text[INET_ADDRSTRLEN] = "*", group_text[INET_ADDRSTRLEN] = "*";
    s.s_addr = source;
    g.s_addr = group;
    if (source != 0)
        inet_ntop(AF_INET, &s, source_text, sizeof source_text);
    if (group != 0)
        inet_ntop(AF_INET, &g, group_text, sizeof group_text);
    turn = !turn;
    snprintf(text[turn], sizeof text[turn], "(%s,%s)", source_text, group_text);
    return text[turn];
}

/* ---- callbacks ---------------------------------------------------------------------------- */

static DWORD local_join(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
                        DWORD index, DWORD next_hop)
{
    DWORD code;
    t->hears(WHO, "LOCAL_JOIN %s interface %u", entry(source, group), (unsigned)index);
    t->calls(WHO, "MgmAddGroupMembershipEntry %s, interface %u", entry(source, group),
             (unsigned)index);
    code = MgmAddGroupMembershipEntry(protocol, source, source_mask, group, group_mask, index,
                                      next_hop, MGM_JOIN_STATE_FLAG);
    t->returned(code, NO_ERROR);
    t->done();
    return NO_ERROR;
}

static DWORD local_leave(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
                         DWORD index, DWORD next_hop)
{
    DWORD code;
    t->hears(WHO, "LOCAL_LEAVE %s interface %u", entry(source, group), (unsigned)index);
    t->calls(WHO, "MgmDeleteGroupMembershipEntry %s, interface %u", entry(source, group),
             (unsigned)index);
    code = MgmDeleteGroupMembershipEntry(protocol, source, source_mask, group, group_mask, index,
                                         next_hop, MGM_JOIN_STATE_FLAG);
    t->returned(code, NO_ERROR);
    t->done();
    return NO_ERROR;
}

static DWORD join_alert(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
                        BOOL member)
{
    (void)source_mask;
    (void)group_mask;
    t->hears(WHO, "JOIN %s %s", entry(source, group), member ? "member" : "flow");
    t->done();
    return NO_ERROR;
}

static DWORD prune_alert(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask,
                         DWORD index, DWORD next_hop, BOOL member, PDWORD timeout)
{
    (void)source_mask;
    (void)group_mask;
    (void)next_hop;
    (void)timeout;
    t->hears(WHO, "PRUNE %s interface %u %s", entry(source, group), (unsigned)index,
             member ? "member" : "flow");
    t->done();
    return NO_ERROR;
}

/* ---- what startup.c asks for ---------------------------------------------------------------- */

static void who_owns(DWORD expected_protocol, const char *expected_name)
{
    DWORD id = 0, component = 0, code;
    t->calls(WHO, "MgmGetProtocolOnInterface, interface %u", (unsigned)interface_index);
    code = MgmGetProtocolOnInterface(interface_index, 0, &id, &component);
    t->returned(code, NO_ERROR);
    t->note("it is %s (protocol 0x%08x, component %u)", expected_name, (unsigned)id,
            (unsigned)component);
    t->expect(id == expected_protocol, "the owner's protocol id");
}

static void start(const transcript *shared, DWORD index)
{
    ROUTING_PROTOCOL_CONFIG config;
    DWORD code;
    t = shared;
    interface_index = index;
    memset(&config, 0, sizeof config);
    config.pfnJoinAlertCallback = join_alert;
    config.pfnPruneAlertCallback = prune_alert;
    config.pfnLocalJoinCallback = local_join;
    config.pfnLocalLeaveCallback = local_leave;

    t->calls(WHO, "MgmRegisterMProtocol");
    code = MgmRegisterMProtocol(&config, PROTOCOL, 1, &protocol);
    t->returned(code, NO_ERROR);
    t->expect(protocol != NULL, "a handle");

    who_owns(MS_IP_IGMP, "IGMP, so the interface can be shared");

    t->calls(WHO, "MgmTakeInterfaceOwnership, interface %u", (unsigned)index);
    code = MgmTakeInterfaceOwnership(protocol, index, 0);
    t->returned(code, NO_ERROR);

    who_owns(PROTOCOL, "this protocol");
}

/* Reads all groups of one kind. The first buffer is too small for even one row, the next holds
 * just one, and from then on it is as large as the rows ask for. */
static void enumerate_kind(MGM_ENUM_TYPES kind, const char *name, DWORD expected_rows)
{
    HANDLE rows = NULL;
    DWORD code, size = 0, needed, count = 0, total = 0, n;
    SOURCE_GROUP_ENTRY *buffer;
    BYTE none[1];

    t->calls(WHO, "MgmGroupEnumerationStart %s", name);
    code = MgmGroupEnumerationStart(protocol, kind, &rows);
    t->returned(code, NO_ERROR);

    t->calls(WHO, "MgmGroupEnumerationGetNext with 0 octets");
    code = MgmGroupEnumerationGetNext(rows, &size, none, &count);
    t->returned(code, ERROR_INSUFFICIENT_BUFFER);
    t->note("it asks for %u octets", (unsigned)size);
    t->expect(size == sizeof(SOURCE_GROUP_ENTRY), "the size of one row");

    buffer = (SOURCE_GROUP_ENTRY *)malloc(8 * sizeof *buffer);
    t->expect(buffer != NULL, "memory");
    needed = size;
    for (;;) {
        size = needed;
        t->calls(WHO, "MgmGroupEnumerationGetNext with %u octets", (unsigned)size);
        code = MgmGroupEnumerationGetNext(rows, &size, (PBYTE)buffer, &count);
        t->returned(code, total + count < expected_rows ? ERROR_MORE_DATA : ERROR_NO_MORE_ITEMS);
        for (n = 0; n < count; n++)
            t->note("row %u: %s", (unsigned)(total + n + 1),
                    entry(buffer[n].dwSourceAddr, buffer[n].dwGroupAddr));
        total += count;
        if (code != ERROR_MORE_DATA)
            break;
        t->expect(count > 0, "at least one row with ERROR_MORE_DATA");
        needed = 8 * sizeof *buffer;
    }
    free(buffer);
    t->expect(total == expected_rows, "the number of rows");

    t->calls(WHO, "MgmGroupEnumerationEnd");
    code = MgmGroupEnumerationEnd(rows);
    t->returned(code, NO_ERROR);
}

static void enumerate(void)
{
    enumerate_kind(ANY_SOURCE, "ANY_SOURCE", 3);
    enumerate_kind(ALL_SOURCES, "ALL_SOURCES", 3);
}

static void stop(void)
{
    DWORD code;
    /* An owner cannot deregister: its interfaces come first. */
    t->calls(WHO, "MgmDeRegisterMProtocol");
    code = MgmDeRegisterMProtocol(protocol);
    t->returned(code, ERROR_CAN_NOT_COMPLETE);

    t->calls(WHO, "MgmReleaseInterfaceOwnership, interface %u", (unsigned)interface_index);
    code = MgmReleaseInterfaceOwnership(protocol, interface_index, 0);
    t->returned(code, NO_ERROR);

    t->calls(WHO, "MgmDeRegisterMProtocol");
    code = MgmDeRegisterMProtocol(protocol);
    t->returned(code, NO_ERROR);
}

/* A table instead of three functions: ISO C has no cast from dlsym's pointer to a function's. */
extern const startup_protocol startup_protocol_table;
const startup_protocol startup_protocol_table = {start, enumerate, stop};
