/* The six functions of mgm_host.h with arguments that no caller should pass, and structures from
 * older and newer headers.
 * apart: no, it is about the functions that a client process has none of. */
#include <mgm_host.h>

#include "check.h"
#include <stddef.h>
#include <string.h>

static MGM_HOST_CONFIG plain(void)
{
    MGM_HOST_CONFIG config;
    memset(&config, 0, sizeof config);
    config.dwSize = (DWORD)sizeof config;
    config.dwLogLevel = MGM_LOG_OFF;
    return config;
}

/* Starting gives the code; where it is NO_ERROR the host is stopped again. */
static void expect_start(const void *config, DWORD code)
{
    CHECK_CODE(MgmHostStart((const MGM_HOST_CONFIG *)config), code);
    CHECK_CODE(MgmHostStop(), code == NO_ERROR ? NO_ERROR : ERROR_CAN_NOT_COMPLETE);
}

static void nothing_runs(void)
{
    BYTE octets[20] = {0};
    DWORD size = sizeof octets;
    CHECK_CODE(MgmHostStop(), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmHostReceive(1, 0, octets, sizeof octets), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmHostRouteChanged(0, 0), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmHostInterfaceDown(1, 0), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmHostGetState(&size, octets), ERROR_CAN_NOT_COMPLETE);
    CHECK_EQ(size, sizeof octets);
}

static void sizes(void)
{
    struct {
        MGM_HOST_CONFIG known;
        BYTE unknown[64];
    } newer;
    /* Where the structure ended in earlier headers, or could have: behind each field. */
    static const DWORD older[] = {
        offsetof(MGM_HOST_CONFIG, pszControlPath),
        offsetof(MGM_HOST_CONFIG, pfnClock),
        offsetof(MGM_HOST_CONFIG, dwMaxNewMfesPerSecond),
        offsetof(MGM_HOST_CONFIG, dwMaxNewMfesPerSource),
        offsetof(MGM_HOST_CONFIG, dwLogLevel),
        offsetof(MGM_HOST_CONFIG, dwFlags),
        offsetof(MGM_HOST_CONFIG, dwMulticastSocket),
    };
    MGM_HOST_CONFIG config = plain();
    DWORD size;
    CHECK_CODE(MgmHostStart(NULL), ERROR_INVALID_PARAMETER);
    for (size = 0; size < offsetof(MGM_HOST_CONFIG, pszControlPath); size++) {
        config.dwSize = size;
        expect_start(&config, ERROR_INVALID_PARAMETER);
    }
    /* An older caller: what lies beyond its structure is not looked at. */
    config.dwFlags = 77;
    config.dwLogLevel = 88;
    config.dwSize = (DWORD)offsetof(MGM_HOST_CONFIG, pszControlPath);
    expect_start(&config, NO_ERROR);
    config.dwSize = (DWORD)offsetof(MGM_HOST_CONFIG, dwLogLevel);
    expect_start(&config, NO_ERROR);
    config.dwLogLevel = MGM_LOG_OFF;
    config.dwMulticastSocket = 99;
    for (size = 0; size < sizeof older / sizeof older[0]; size++) {
        config.dwSize = older[size];
        config.dwFlags = older[size] <= offsetof(MGM_HOST_CONFIG, dwFlags) ? 77 : 0;
        expect_start(&config, NO_ERROR);
    }
    /* A newer one. */
    memset(&newer, 0, sizeof newer);
    newer.known = plain();
    newer.known.dwSize = (DWORD)sizeof newer;
    expect_start(&newer, NO_ERROR);
    newer.unknown[sizeof newer.unknown - 1] = 1;
    expect_start(&newer, ERROR_INVALID_PARAMETER);
    newer.known.dwSize = 0xffffffffu;
    expect_start(&newer, ERROR_INVALID_PARAMETER);
    newer.known.dwSize = 0x80000000u;
    expect_start(&newer, ERROR_INVALID_PARAMETER);
}

static void fields(void)
{
    MGM_HOST_CONFIG config = plain();
    MGM_HOST_FORWARDER table;
    memset(&table, 0, sizeof table);
    table.dwSize = (DWORD)sizeof table;
    config.dwForwarder = 3;
    expect_start(&config, ERROR_INVALID_PARAMETER);
    config = plain();
    config.dwLogLevel = 6;
    expect_start(&config, ERROR_INVALID_PARAMETER);
    config = plain();
    config.dwFlags = 2;
    expect_start(&config, ERROR_INVALID_PARAMETER);
    /* What another forwarder was meant to have is not ignored. */
    config = plain();
    config.dwTableId = 7;
    expect_start(&config, ERROR_INVALID_PARAMETER);
    config = plain();
    config.dwMulticastSocket = 3;
    expect_start(&config, ERROR_INVALID_PARAMETER);
    config = plain();
    config.pForwarder = &table;
    expect_start(&config, ERROR_INVALID_PARAMETER);
    config.dwForwarder = MGM_FORWARDER_KERNEL;
    expect_start(&config, ERROR_INVALID_PARAMETER);
    config = plain();
    config.dwForwarder = MGM_FORWARDER_KERNEL;
    config.dwTableId = 1000000000; /* the kernel knows none beyond 999,999,999 */
    expect_start(&config, ERROR_INVALID_PARAMETER);
    config = plain();
    config.pszControlPath = "";
    expect_start(&config, ERROR_INVALID_PARAMETER);
    config = plain();
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_CODE(MgmHostStart(&config), ERROR_ALREADY_EXISTS);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

static DWORD set_mfe(PVOID pv, DWORD source, DWORD group, DWORD in, DWORD in_hop, DWORD count,
                     const MIB_IPMCAST_OIF *out)
{
    (void)pv, (void)source, (void)group, (void)in, (void)in_hop, (void)count, (void)out;
    return NO_ERROR;
}

static DWORD delete_mfe(PVOID pv, DWORD source, DWORD group)
{
    (void)pv, (void)source, (void)group;
    return NO_ERROR;
}

static void custom_tables(void)
{
    MGM_HOST_CONFIG config = plain();
    MGM_HOST_FORWARDER table;
    memset(&table, 0, sizeof table);
    config.dwForwarder = MGM_FORWARDER_CUSTOM;
    expect_start(&config, ERROR_INVALID_PARAMETER);
    config.pForwarder = &table;
    expect_start(&config, ERROR_INVALID_PARAMETER); /* dwSize 0 */
    table.dwSize = (DWORD)sizeof table;
    expect_start(&config, ERROR_INVALID_PARAMETER); /* no functions */
    table.pfnSetMfe = set_mfe;
    expect_start(&config, ERROR_INVALID_PARAMETER);
    table.pfnDeleteMfe = delete_mfe;
    expect_start(&config, NO_ERROR);
    table.dwSize = (DWORD)offsetof(MGM_HOST_FORWARDER, pfnGetMfeCounters);
    expect_start(&config, NO_ERROR);
    table.dwSize = (DWORD)offsetof(MGM_HOST_FORWARDER, pfnDeleteMfe);
    expect_start(&config, ERROR_INVALID_PARAMETER);
}

static void calls(void)
{
    MGM_HOST_CONFIG config = plain();
    BYTE packet[20] = {0x45, 0, 0, 20, 0, 0, 0, 0, 9, 17, 0, 0, 10, 0, 0, 1, 239, 0, 0, 1};
    DWORD mask_with_a_hole, size, i, cut;
    memcpy(&mask_with_a_hole, "\377\0\377\0", 4);
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_CODE(MgmHostReceive(1, 0, NULL, 20), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmHostReceive(1, 0, NULL, 0), ERROR_INVALID_PARAMETER);
    for (cut = 0; cut < sizeof packet; cut++)
        CHECK_CODE(MgmHostReceive(1, 0, packet, cut), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmHostReceive(1, 0, packet, sizeof packet), NO_ERROR);
    CHECK_CODE(MgmHostRouteChanged(0, mask_with_a_hole), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmHostRouteChanged(0, 0), NO_ERROR);
    CHECK_CODE(MgmHostInterfaceDown(1, 0), NO_ERROR);
    size = 100;
    CHECK_CODE(MgmHostGetState(NULL, packet), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmHostGetState(&size, NULL), ERROR_INVALID_PARAMETER);
    CHECK_EQ(size, 100);
    /* Too small a buffer is told the size and left alone. */
    for (i = 0; i < sizeof packet; i++) {
        BYTE before[sizeof packet];
        memcpy(before, packet, sizeof packet);
        size = i;
        CHECK_CODE(MgmHostGetState(&size, i ? packet : NULL), ERROR_INSUFFICIENT_BUFFER);
        CHECK(size > sizeof packet);
        CHECK(memcmp(before, packet, sizeof packet) == 0);
    }
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

static void exact_state_size(void)
{
    MGM_HOST_CONFIG config = plain();
    char text[4096];
    DWORD size = 0, needed;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_CODE(MgmHostGetState(&size, NULL), ERROR_INSUFFICIENT_BUFFER);
    CHECK(size <= sizeof text);
    needed = size;
    memset(text, 'x', sizeof text);
    size = needed - 1;
    CHECK_CODE(MgmHostGetState(&size, (PBYTE)text), ERROR_INSUFFICIENT_BUFFER);
    size = sizeof text;
    CHECK_CODE(MgmHostGetState(&size, (PBYTE)text), NO_ERROR);
    CHECK_EQ(size, sizeof text);
    CHECK(memchr(text, 0, sizeof text) != NULL);
    CHECK(text[0] == '{' && text[sizeof text - 1] == 'x');
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

static int log_context, lines;
static DWORD worst;
static char last[600];

static void on_log(PVOID pv, DWORD level, const char *message)
{
    CHECK(pv == &log_context);
    CHECK(level >= MGM_LOG_ERROR && level <= MGM_LOG_TRACE);
    CHECK(strlen(message) < sizeof last && strchr(message, '\n') == NULL);
    strcpy(last, message);
    worst = level > worst ? level : worst;
    lines++;
}

static void log_lines(void)
{
    MGM_HOST_CONFIG config = plain();
    config.pvContext = &log_context;
    config.pfnLog = on_log;
    config.dwLogLevel = MGM_LOG_DEFAULT;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_EQ(lines, 0);
    CHECK_CODE(MgmTakeInterfaceOwnership((HANDLE)(size_t)0x123, 1, 0), ERROR_INVALID_PARAMETER);
    CHECK_EQ(lines, 1);
    CHECK_EQ(worst, MGM_LOG_ERROR);
    CHECK_TEXT(last, "MgmTakeInterfaceOwnership: ERROR_INVALID_PARAMETER: hProtocol = 0x123 is not "
                     "the handle of a registered client");
    /* A packet from outside must not fill the log. */
    CHECK_CODE(MgmHostReceive(1, 0, (const BYTE *)"?", 1), ERROR_INVALID_PARAMETER);
    CHECK_EQ(lines, 1);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    config.dwLogLevel = MGM_LOG_TRACE;
    lines = 0;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK(lines > 0 && worst > MGM_LOG_ERROR);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    config.dwLogLevel = MGM_LOG_OFF;
    lines = 0;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(NULL, 1, 0), ERROR_INVALID_PARAMETER);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    CHECK_EQ(lines, 0);
}

static void a_line_about_a_failed_call_names_the_client(void)
{
    MGM_HOST_CONFIG config = plain();
    ROUTING_PROTOCOL_CONFIG none;
    HANDLE a, b;
    config.pvContext = &log_context;
    config.pfnLog = on_log;
    config.dwLogLevel = MGM_LOG_ERROR;
    memset(&none, 0, sizeof none);
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_CODE(MgmRegisterMProtocol(&none, 100, 7, &a), NO_ERROR);
    CHECK_CODE(MgmRegisterMProtocol(&none, 200, 8, &b), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(a, 1, 0), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(b, 1, 0), ERROR_ALREADY_EXISTS);
    CHECK_TEXT(last, "MgmTakeInterfaceOwnership: ERROR_ALREADY_EXISTS: interface 1 is taken already, by "
                     "protocol 0x64 component 0x7 (protocol 0xc8 component 0x8)");
    CHECK_CODE(MgmReleaseInterfaceOwnership(b, 1, 0), ERROR_INVALID_PARAMETER);
    CHECK_TEXT(last, "MgmReleaseInterfaceOwnership: ERROR_INVALID_PARAMETER: the client is not on interface 1; "
                     "it must take ownership first (protocol 0xc8 component 0x8)");
    CHECK_CODE(MgmDeRegisterMProtocol(a), ERROR_CAN_NOT_COMPLETE);
    CHECK_TEXT(last, "MgmDeRegisterMProtocol: ERROR_CAN_NOT_COMPLETE: the client still owns interface 1; release "
                     "its interfaces before it deregisters (protocol 0x64 component 0x7)");
    CHECK_CODE(MgmHostDispatch(b), ERROR_INVALID_PARAMETER);
    CHECK_TEXT(last, "MgmHostDispatch: ERROR_INVALID_PARAMETER: the client did not register with MGM_DISPATCHED "
                     "(protocol 0xc8 component 0x8)");
    CHECK_CODE(MgmSetMfe(b, NULL), ERROR_INVALID_PARAMETER);
    CHECK_TEXT(last, "MgmSetMfe: ERROR_INVALID_PARAMETER: pmimm is NULL (protocol 0xc8 component 0x8)");
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

int main(void)
{
    RUN(nothing_runs);
    RUN(sizes);
    RUN(fields);
    RUN(custom_tables);
    RUN(calls);
    RUN(exact_state_size);
    RUN(log_lines);
    RUN(a_line_about_a_failed_call_names_the_client);
    return check_summary();
}
