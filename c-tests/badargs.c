/* What no caller should pass, to every function of mgm.h: null pointers, empty buffers, handles
 * that are none, unknown flags, masks that are ranges, addresses of the wrong kind. Each such call
 * fails with its code, changes nothing and writes nothing (rules A1 to A3). */
#define _POSIX_C_SOURCE 200809L
#include <mgm_host.h>

#include "check.h"
#include <arpa/inet.h>
#include <stdlib.h>

#define ALL_ONES 0xffffffffu
#define IF 7

static HANDLE client;  /* a client that owns interface IF */
static HANDLE rows;    /* an enumeration of its */
static HANDLE ended;   /* a client that has gone */
static HANDLE closed;  /* an enumeration that has gone */
static int on_stack_of_main;
static ROUTING_PROTOCOL_CONFIG no_callbacks;

static DWORD ip(const char *text) { return inet_addr(text); }

static HANDLE word(size_t value) { return (HANDLE)value; }

static HANDLE beside(HANDLE handle, long distance)
{
    return word((size_t)handle + (size_t)distance);
}

/* Words that are no client's handle; the last one is NULL again. */
static size_t not_a_client(HANDLE *out)
{
    int local = 0;
    HANDLE words[] = {NULL, word(1), word(2), word(0x10000), word((size_t)-1), word((size_t)-2),
                      (HANDLE)&local, (HANDLE)&on_stack_of_main, (HANDLE)&no_callbacks,
                      beside(client, 1), beside(client, -1), beside(client, 4), beside(client, 16),
                      beside(client, 1 << 16), ended, closed, rows};
    memcpy(out, words, sizeof words);
    return sizeof words / sizeof words[0];
}

/* The same for enumerations. */
static size_t not_an_enumeration(HANDLE *out)
{
    size_t n = not_a_client(out);
    out[n - 1] = client;
    out[n] = beside(rows, 1);
    out[n + 1] = beside(rows, -8);
    return n + 2;
}

static DWORD add(HANDLE handle, const char *s, DWORD sm, const char *g, DWORD gm, DWORD flags)
{
    return MgmAddGroupMembershipEntry(handle, ip(s), sm, ip(g), gm, IF, 0, flags);
}

static DWORD delete_(HANDLE handle, const char *s, DWORD sm, const char *g, DWORD gm, DWORD flags)
{
    return MgmDeleteGroupMembershipEntry(handle, ip(s), sm, ip(g), gm, IF, 0, flags);
}

/* How many rows an enumeration of all memberships has. */
static DWORD memberships(void)
{
    SOURCE_GROUP_ENTRY entries[16];
    DWORD size = sizeof entries, count = 99;
    HANDLE all = NULL;
    CHECK_CODE(MgmGroupEnumerationStart(client, ALL_SOURCES, &all), NO_ERROR);
    CHECK_CODE(MgmGroupEnumerationGetNext(all, &size, (PBYTE)entries, &count),
               ERROR_NO_MORE_ITEMS);
    CHECK_CODE(MgmGroupEnumerationEnd(all), NO_ERROR);
    return count;
}

static void before_anything_runs(void)
{
    DWORD size = 0, count = 99, protocol = 98, component = 97;
    MIB_IPMCAST_MFE entry;
    HANDLE out = word(5);
    memset(&entry, 0, sizeof entry);
    CHECK_CODE(MgmGetFirstMfe(&size, NULL, &count), ERROR_NO_MORE_ITEMS);
    CHECK_EQ(count, 0);
    CHECK_CODE(MgmGetMfe(&entry, &size, NULL), ERROR_NOT_FOUND);
    CHECK_CODE(MgmGetMfeStats(&entry, &size, NULL, MGM_MFE_STATS_0), ERROR_NOT_FOUND);
    CHECK_CODE(MgmGetProtocolOnInterface(IF, 0, &protocol, &component), ERROR_NOT_FOUND);
    CHECK(protocol == 98 && component == 97);
    CHECK_CODE(MgmDeRegisterMProtocol(NULL), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmDeRegisterMProtocol(word(1)), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmTakeInterfaceOwnership(word(1), IF, 0), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmReleaseInterfaceOwnership(word(1), IF, 0), ERROR_INVALID_PARAMETER);
    CHECK_CODE(add(word(1), "0.0.0.0", 0, "239.0.0.1", ALL_ONES, 1), ERROR_INVALID_PARAMETER);
    CHECK_CODE(delete_(word(1), "0.0.0.0", 0, "239.0.0.1", ALL_ONES, 1), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmSetMfe(word(1), &entry), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGroupEnumerationStart(word(1), ANY_SOURCE, &out), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGroupEnumerationEnd(word(1)), ERROR_INVALID_PARAMETER);
    CHECK(out == word(5));
}

static void register_(void)
{
    HANDLE out = word(5);
    CHECK_CODE(MgmRegisterMProtocol(NULL, 1, 1, &out), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmRegisterMProtocol(&no_callbacks, 1, 1, NULL), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmRegisterMProtocol(NULL, 1, 1, NULL), ERROR_INVALID_PARAMETER);
    CHECK(out == word(5));
    CHECK_CODE(MgmRegisterMProtocol(&no_callbacks, 0x11, 1, &out), ERROR_ALREADY_EXISTS);
    CHECK(out == word(5));
    /* The two that failed with a null pointer registered nothing. */
    CHECK_CODE(MgmRegisterMProtocol(&no_callbacks, 1, 1, &out), NO_ERROR);
    CHECK(out != NULL && out != word(5));
    CHECK_CODE(MgmDeRegisterMProtocol(out), NO_ERROR);
    CHECK_CODE(MgmDeRegisterMProtocol(out), ERROR_INVALID_PARAMETER);
}

static void client_handles(void)
{
    HANDLE bad[32], out = word(5);
    MIB_IPMCAST_MFE entry;
    size_t i, n = not_a_client(bad);
    memset(&entry, 0, sizeof entry);
    for (i = 0; i < n; i++) {
        CHECK_CODE(MgmDeRegisterMProtocol(bad[i]), ERROR_INVALID_PARAMETER);
        CHECK_CODE(MgmTakeInterfaceOwnership(bad[i], IF + 1, 0), ERROR_INVALID_PARAMETER);
        CHECK_CODE(MgmReleaseInterfaceOwnership(bad[i], IF, 0), ERROR_INVALID_PARAMETER);
        CHECK_CODE(add(bad[i], "0.0.0.0", 0, "239.0.0.1", ALL_ONES, 1), ERROR_INVALID_PARAMETER);
        CHECK_CODE(delete_(bad[i], "0.0.0.0", 0, "239.0.0.1", ALL_ONES, 1),
                   ERROR_INVALID_PARAMETER);
        CHECK_CODE(MgmSetMfe(bad[i], &entry), ERROR_INVALID_PARAMETER);
        CHECK_CODE(MgmGroupEnumerationStart(bad[i], ANY_SOURCE, &out), ERROR_INVALID_PARAMETER);
    }
    CHECK(out == word(5));
    CHECK_EQ(memberships(), 1);
}

static void enumeration_handles(void)
{
    HANDLE bad[32];
    SOURCE_GROUP_ENTRY entry;
    DWORD size = sizeof entry, count = 99;
    size_t i, n = not_an_enumeration(bad);
    for (i = 0; i < n; i++) {
        CHECK_CODE(MgmGroupEnumerationGetNext(bad[i], &size, (PBYTE)&entry, &count),
                   ERROR_INVALID_PARAMETER);
        CHECK_CODE(MgmGroupEnumerationEnd(bad[i]), ERROR_INVALID_PARAMETER);
    }
    CHECK(size == sizeof entry && count == 99);
}

static void interfaces(void)
{
    DWORD protocol = 98, component = 97;
    CHECK_CODE(MgmTakeInterfaceOwnership(client, IF, 0), ERROR_ALREADY_EXISTS);
    CHECK_CODE(MgmReleaseInterfaceOwnership(client, IF + 1, 0), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmReleaseInterfaceOwnership(client, IF, ip("10.0.0.1")), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmDeRegisterMProtocol(client), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmGetProtocolOnInterface(IF, 0, NULL, &component), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetProtocolOnInterface(IF, 0, &protocol, NULL), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetProtocolOnInterface(IF, 0, NULL, NULL), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetProtocolOnInterface(IF + 1, 0, &protocol, &component), ERROR_NOT_FOUND);
    CHECK(protocol == 98 && component == 97);
    CHECK_CODE(MgmGetProtocolOnInterface(IF, 0, &protocol, &component), NO_ERROR);
    CHECK(protocol == 0x11 && component == 1);
}

/* Each through add and delete. */
static void refused(const char *s, DWORD sm, const char *g, DWORD gm, DWORD flags)
{
    CHECK_CODE(add(client, s, sm, g, gm, flags), ERROR_INVALID_PARAMETER);
    CHECK_CODE(delete_(client, s, sm, g, gm, flags), ERROR_INVALID_PARAMETER);
}

static void membership_flags(void)
{
    static const DWORD bad[] = {0, 4, 5, 7, 8, 0x80000000u, ALL_ONES};
    size_t i;
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refused("0.0.0.0", 0, "239.0.0.2", ALL_ONES, bad[i]);
    CHECK_EQ(memberships(), 1);
}

static void membership_masks(void)
{
    static const char *const ranges[] = {"255.255.255.0", "255.0.0.0", "0.0.0.255",
                                         "255.255.255.254", "128.0.0.0"};
    size_t i;
    for (i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        refused("10.0.0.1", ALL_ONES, "239.0.0.2", ip(ranges[i]), MGM_JOIN_STATE_FLAG);
        refused("10.0.0.1", ip(ranges[i]), "239.0.0.2", ALL_ONES, MGM_JOIN_STATE_FLAG);
        refused("0.0.0.0", ip(ranges[i]), "239.0.0.2", ALL_ONES, MGM_JOIN_STATE_FLAG);
        refused("0.0.0.0", 0, "0.0.0.0", ip(ranges[i]), MGM_JOIN_STATE_FLAG);
    }
    CHECK_EQ(memberships(), 1);
}

static void membership_addresses(void)
{
    static const char *const not_groups[] = {"10.0.0.1", "223.255.255.255", "240.0.0.0",
                                             "127.0.0.1"};
    static const char *const not_sources[] = {"224.0.0.1", "239.255.255.255", "127.0.0.1",
                                              "127.1.2.3"};
    size_t i;
    for (i = 0; i < sizeof not_groups / sizeof not_groups[0]; i++) {
        refused("0.0.0.0", 0, not_groups[i], ALL_ONES, MGM_JOIN_STATE_FLAG);
        refused("10.0.0.1", ALL_ONES, not_groups[i], ALL_ONES, MGM_FORWARD_STATE_FLAG);
    }
    for (i = 0; i < sizeof not_sources / sizeof not_sources[0]; i++)
        refused(not_sources[i], ALL_ONES, "239.0.0.2", ALL_ONES, MGM_JOIN_STATE_FLAG);
    CHECK_CODE(MgmAddGroupMembershipEntry(client, ALL_ONES, ALL_ONES, ip("239.0.0.2"), ALL_ONES,
                                          IF, 0, MGM_JOIN_STATE_FLAG),
               ERROR_INVALID_PARAMETER);
    /* A source without a group. */
    refused("10.0.0.1", ALL_ONES, "0.0.0.0", 0, MGM_JOIN_STATE_FLAG);
    CHECK_EQ(memberships(), 1);
}

static void membership_interfaces(void)
{
    DWORD group = ip("239.0.0.2");
    CHECK_CODE(MgmAddGroupMembershipEntry(client, 0, 0, group, ALL_ONES, IF + 1, 0, 1),
               ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmDeleteGroupMembershipEntry(client, 0, 0, group, ALL_ONES, IF + 1, 0, 1),
               ERROR_NOT_FOUND);
    CHECK_CODE(MgmAddGroupMembershipEntry(client, 0, 0, group, ALL_ONES, IF, ip("10.0.0.9"), 1),
               ERROR_INVALID_PARAMETER);
    CHECK_EQ(memberships(), 1);
}

static void reading_one_entry(void)
{
    MIB_IPMCAST_MFE entry;
    BYTE buffer[256];
    DWORD size = sizeof buffer;
    DWORD flags[] = {0, 3, 4, ALL_ONES};
    size_t i;
    memset(&entry, 0, sizeof entry);
    CHECK_CODE(MgmGetMfe(NULL, &size, buffer), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetMfe(&entry, NULL, buffer), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetMfe(&entry, &size, NULL), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetMfe(&entry, &size, buffer), ERROR_NOT_FOUND);
    CHECK_CODE(MgmGetMfeStats(NULL, &size, buffer, MGM_MFE_STATS_0), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetMfeStats(&entry, NULL, buffer, MGM_MFE_STATS_1), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetMfeStats(&entry, &size, NULL, MGM_MFE_STATS_1), ERROR_INVALID_PARAMETER);
    for (i = 0; i < sizeof flags / sizeof flags[0]; i++)
        CHECK_CODE(MgmGetMfeStats(&entry, &size, buffer, flags[i]), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmSetMfe(client, NULL), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmSetMfe(client, &entry), ERROR_NOT_FOUND);
    CHECK_EQ(size, sizeof buffer);
}

static void reading_many_entries(void)
{
    MIB_IPMCAST_MFE from;
    BYTE buffer[256];
    DWORD size = sizeof buffer, count = 99, zero = 0;
    DWORD flags[] = {0, 3, 4, ALL_ONES};
    size_t i;
    memset(&from, 0xff, sizeof from);
    CHECK_CODE(MgmGetFirstMfe(NULL, buffer, &count), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetFirstMfe(&size, NULL, &count), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetFirstMfe(&size, buffer, NULL), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetNextMfe(NULL, &size, buffer, &count), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetNextMfe(&from, NULL, buffer, &count), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetNextMfe(&from, &size, NULL, &count), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetNextMfe(&from, &size, buffer, NULL), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetFirstMfeStats(NULL, buffer, &count, 1), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetFirstMfeStats(&size, NULL, &count, 1), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetFirstMfeStats(&size, buffer, NULL, 1), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetNextMfeStats(NULL, &size, buffer, &count, 2), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetNextMfeStats(&from, NULL, buffer, &count, 2), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetNextMfeStats(&from, &size, NULL, &count, 2), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGetNextMfeStats(&from, &size, buffer, NULL, 2), ERROR_INVALID_PARAMETER);
    for (i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        CHECK_CODE(MgmGetFirstMfeStats(&size, buffer, &count, flags[i]),
                   ERROR_INVALID_PARAMETER);
        CHECK_CODE(MgmGetNextMfeStats(&from, &size, buffer, &count, flags[i]),
                   ERROR_INVALID_PARAMETER);
    }
    CHECK(size == sizeof buffer && count == 99);
    /* No entry: no buffer is needed. */
    CHECK_CODE(MgmGetFirstMfe(&zero, NULL, &count), ERROR_NO_MORE_ITEMS);
    CHECK(zero == 0 && count == 0);
    count = 99;
    CHECK_CODE(MgmGetNextMfeStats(&from, &zero, NULL, &count, 1), ERROR_NO_MORE_ITEMS);
    CHECK(zero == 0 && count == 0);
}

static void enumerating(void)
{
    /* One octet off any alignment, and one row long. */
    BYTE buffer[1 + sizeof(SOURCE_GROUP_ENTRY)];
    SOURCE_GROUP_ENTRY entry;
    DWORD size = 0, count = 99;
    HANDLE out = word(5);
    CHECK_CODE(MgmGroupEnumerationStart(client, ANY_SOURCE, NULL), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGroupEnumerationStart(client, (MGM_ENUM_TYPES)2, &out),
               ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGroupEnumerationStart(client, (MGM_ENUM_TYPES)3, &out),
               ERROR_INVALID_PARAMETER);
    CHECK(out == word(5));
    CHECK_CODE(MgmGroupEnumerationGetNext(rows, NULL, buffer, &count), ERROR_INVALID_PARAMETER);
    size = sizeof entry;
    CHECK_CODE(MgmGroupEnumerationGetNext(rows, &size, NULL, &count), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmGroupEnumerationGetNext(rows, &size, buffer, NULL), ERROR_INVALID_PARAMETER);
    CHECK(size == sizeof entry && count == 99);
    for (size = 0; size < sizeof entry; size++) {
        DWORD given = size;
        count = 99;
        CHECK_CODE(MgmGroupEnumerationGetNext(rows, &given, size ? buffer : NULL, &count),
                   ERROR_INSUFFICIENT_BUFFER);
        CHECK(given == sizeof entry && count == 0);
    }
    /* The failures above took nothing away. */
    CHECK_CODE(MgmGroupEnumerationGetNext(rows, &size, buffer + 1, &count), ERROR_NO_MORE_ITEMS);
    CHECK(size == sizeof entry && count == 1);
    memcpy(&entry, buffer + 1, sizeof entry);
    CHECK(entry.dwSourceAddr == 0 && entry.dwSourceMask == 0);
    CHECK(entry.dwGroupAddr == ip("239.0.0.1") && entry.dwGroupMask == ALL_ONES);
    /* After the end. */
    size = 0;
    count = 99;
    CHECK_CODE(MgmGroupEnumerationGetNext(rows, &size, NULL, &count), ERROR_NO_MORE_ITEMS);
    CHECK(size == 0 && count == 0);
}

/* Slots are used again, but no old handle comes back to life. */
static void old_handles(void)
{
    HANDLE old[64];
    SOURCE_GROUP_ENTRY entry;
    size_t i, j;
    for (i = 0; i < 64; i++) {
        DWORD size = sizeof entry, count;
        HANDLE all = NULL;
        CHECK_CODE(MgmRegisterMProtocol(&no_callbacks, 0x12, 1, &old[i]), NO_ERROR);
        for (j = 0; j < i; j++) {
            CHECK(old[j] != old[i]);
            CHECK_CODE(MgmDeRegisterMProtocol(old[j]), ERROR_INVALID_PARAMETER);
        }
        /* Its enumerations end with a client. */
        CHECK_CODE(MgmGroupEnumerationStart(old[i], ANY_SOURCE, &all), NO_ERROR);
        CHECK_CODE(MgmDeRegisterMProtocol(old[i]), NO_ERROR);
        CHECK_CODE(MgmGroupEnumerationGetNext(all, &size, (PBYTE)&entry, &count),
                   ERROR_INVALID_PARAMETER);
        CHECK_CODE(MgmGroupEnumerationEnd(all), ERROR_INVALID_PARAMETER);
    }
}

static void set_up(void)
{
    CHECK_CODE(MgmRegisterMProtocol(&no_callbacks, 0x11, 1, &client), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(client, IF, 0), NO_ERROR);
    CHECK_CODE(add(client, "0.0.0.0", 0, "239.0.0.1", ALL_ONES, MGM_JOIN_STATE_FLAG), NO_ERROR);
    CHECK_CODE(MgmGroupEnumerationStart(client, ALL_SOURCES, &rows), NO_ERROR);
    CHECK_CODE(MgmGroupEnumerationStart(client, ANY_SOURCE, &closed), NO_ERROR);
    CHECK_CODE(MgmGroupEnumerationEnd(closed), NO_ERROR);
    CHECK_CODE(MgmRegisterMProtocol(&no_callbacks, 0x11, 2, &ended), NO_ERROR);
    CHECK_CODE(MgmDeRegisterMProtocol(ended), NO_ERROR);
}

static void tear_down(void)
{
    CHECK_CODE(MgmGroupEnumerationEnd(rows), NO_ERROR);
    CHECK_CODE(MgmReleaseInterfaceOwnership(client, IF, 0), NO_ERROR);
    CHECK_CODE(MgmDeRegisterMProtocol(client), NO_ERROR);
}

static void start_the_host(void)
{
    MGM_HOST_CONFIG config;
    memset(&config, 0, sizeof config);
    config.dwSize = (DWORD)sizeof config;
    config.dwLogLevel = MGM_LOG_OFF;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
}

int main(void)
{
    /* Every call here fails on purpose. */
    setenv("MGM_LOG", "off", 1);
    unsetenv("MGM_CONTROL");
    unsetenv("MGM_MAX_MFES");
    if (!check_apart())
        setenv("MGM_FORWARDER", "memory", 1);
    RUN_IN_ONE_PROCESS(before_anything_runs); /* a client process asks for its host */
    if (check_apart())
        start_the_host();
    RUN(set_up);
    RUN(register_);
    RUN(client_handles);
    RUN(enumeration_handles);
    RUN(interfaces);
    RUN(membership_flags);
    RUN(membership_masks);
    RUN(membership_addresses);
    RUN(membership_interfaces);
    RUN(reading_one_entry);
    RUN(reading_many_entries);
    RUN(enumerating);
    RUN(old_handles);
    RUN(tear_down);
    return check_summary();
}
