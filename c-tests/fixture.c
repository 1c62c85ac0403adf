#include "fixture.h"
#include <pthread.h>
#include <stdarg.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char sent[16384];
static DWORD route_if[256];
static unsigned overtaken; /* 0: no look-up is */
static DWORD overtaken_by;
ULONGLONG fixture_now;

DWORD ip(const char *text) { return strcmp(text, "*") == 0 ? 0 : inet_addr(text); }

/* ---- writing things down ---------------------------------------------------------------- */

static void append(char *to, size_t size, const char *format, ...)
{
    va_list arguments;
    size_t used;
    pthread_mutex_lock(&lock);
    used = strlen(to);
    va_start(arguments, format);
    vsnprintf(to + used, size - used, format, arguments);
    va_end(arguments);
    pthread_mutex_unlock(&lock);
}

static const char *addr(DWORD address, char *text)
{
    struct in_addr in;
    in.s_addr = address;
    return inet_ntop(AF_INET, &in, text, INET_ADDRSTRLEN);
}

static const char *iface(DWORD index, DWORD next_hop, char *text)
{
    char hop[INET_ADDRSTRLEN];
    if (next_hop == 0)
        snprintf(text, 48, "%u", (unsigned)index);
    else
        snprintf(text, 48, "%u/%s", (unsigned)index, addr(next_hop, hop));
    return text;
}

static const char *entry(DWORD source, DWORD group, char *text)
{
    char s[INET_ADDRSTRLEN], g[INET_ADDRSTRLEN];
    snprintf(text, 64, "(%s,%s)", source ? addr(source, s) : "*", group ? addr(group, g) : "*");
    return text;
}

static void masks(client *who, DWORD source, DWORD smask, DWORD group, DWORD gmask)
{
    if (smask != (source ? ALL_ONES : 0) || gmask != (group ? ALL_ONES : 0))
        append(who->lines, sizeof who->lines, "BAD masks %x %x\n", (unsigned)smask, (unsigned)gmask);
}

static void header(client *who, DWORD source, DWORD group, DWORD size, PBYTE bytes)
{
    DWORD s, g;
    if (bytes == NULL || size < 20) {
        append(who->lines, sizeof who->lines, "BAD packet header of %u octets\n", (unsigned)size);
        return;
    }
    memcpy(&s, bytes + 12, 4);
    memcpy(&g, bytes + 16, 4);
    if ((bytes[0] >> 4) != 4 || s != source || g != group)
        append(who->lines, sizeof who->lines, "BAD packet header\n");
    if (size != (DWORD)bytes[2] * 256 + bytes[3])
        append(who->lines, sizeof who->lines, "BAD packet of %u octets\n", (unsigned)size);
    who->packet_size = size;
    memcpy(who->packet, bytes, size < sizeof who->packet ? size : sizeof who->packet);
}

static void finish(client *who, callback_kind kind, DWORD index)
{
    if (who->hook != NULL)
        who->hook(who, kind, index);
}

/* ---- the callbacks, each with the client it is for ---------------------------------------- */

static void on_rpf(client *who, DWORD s, DWORD sm, DWORD g, DWORD gm, PDWORD index, PDWORD hop,
                   PDWORD upstream, DWORD size, PBYTE packet, PBYTE route)
{
    char e[64], i[48], u[INET_ADDRSTRLEN];
    RTM_DEST_INFO info;
    append(who->lines, sizeof who->lines, "RPF %s iif %s upstream %s\n", entry(s, g, e),
           iface(*index, *hop, i), addr(*upstream, u));
    masks(who, s, sm, g, gm);
    header(who, s, g, size, packet);
    if (route == NULL) {
        append(who->lines, sizeof who->lines, "BAD pbRoute NULL\n");
    } else {
        memcpy(&info, route, sizeof info);
        if (info.NumberOfViews != 1 || info.DestAddress.AddressFamily != AF_INET)
            append(who->lines, sizeof who->lines, "BAD pbRoute\n");
    }
    if (who->rpf_index != 0)
        *index = who->rpf_index;
    if (who->rpf_refuses)
        *index = 0;
    if (who->rpf_upstream != 0)
        *upstream = who->rpf_upstream;
    finish(who, ON_RPF, *index);
}

static void on_create(client *who, DWORD s, DWORD sm, DWORD g, DWORD gm, DWORD index, DWORD hop,
                      DWORD count, PMGM_IF_ENTRY out)
{
    char e[64], i[48], list[1024];
    DWORD n;
    list[0] = 0;
    for (n = 0; n < count; n++) {
        char o[48];
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, " %s%s%s",
                 iface(out[n].dwIfIndex, out[n].dwIfNextHopAddr, o), out[n].bIGMP ? "+igmp" : "",
                 out[n].bIsEnabled ? "" : "!not enabled");
    }
    append(who->lines, sizeof who->lines, "CREATE %s iif %s oifs%s\n", entry(s, g, e),
           iface(index, hop, i), list);
    masks(who, s, sm, g, gm);
    for (n = 0; n < count; n++)
        if (who->veto != 0 && out[n].dwIfIndex == who->veto)
            out[n].bIsEnabled = FALSE;
    finish(who, ON_CREATE, index);
}

static void on_prune(client *who, DWORD s, DWORD sm, DWORD g, DWORD gm, DWORD index, DWORD hop,
                     BOOL member, PDWORD timeout)
{
    char e[64], i[48];
    append(who->lines, sizeof who->lines, "PRUNE %s if %s %s\n", entry(s, g, e),
           iface(index, hop, i), member ? "member" : "flow");
    masks(who, s, sm, g, gm);
    if (timeout == NULL || *timeout != 900) {
        append(who->lines, sizeof who->lines, "BAD pdwTimeout\n");
    } else if (who->prune_timeout != 0 || who->prune_to_zero) {
        *timeout = who->prune_timeout;
    }
    finish(who, ON_PRUNE, index);
}

static void on_join(client *who, DWORD s, DWORD sm, DWORD g, DWORD gm, BOOL member)
{
    char e[64];
    append(who->lines, sizeof who->lines, "JOIN %s %s\n", entry(s, g, e),
           member ? "member" : "flow");
    masks(who, s, sm, g, gm);
    finish(who, ON_JOIN, 0);
}

static void on_wrong_if(client *who, DWORD s, DWORD g, DWORD index, DWORD hop, DWORD size,
                        PBYTE packet)
{
    char e[64], i[48];
    append(who->lines, sizeof who->lines, "WRONG_IF %s if %s\n", entry(s, g, e),
           iface(index, hop, i));
    header(who, s, g, size, packet);
    finish(who, ON_WRONG_IF, index);
}

static void on_local(client *who, callback_kind kind, DWORD s, DWORD sm, DWORD g, DWORD gm,
                     DWORD index, DWORD hop)
{
    char e[64], i[48];
    append(who->lines, sizeof who->lines, "%s %s if %s\n",
           kind == ON_LOCAL_JOIN ? "LOCAL_JOIN" : "LOCAL_LEAVE", entry(s, g, e),
           iface(index, hop, i));
    masks(who, s, sm, g, gm);
    finish(who, kind, index);
}

static void on_igmp(client *who, callback_kind kind, DWORD index, DWORD hop)
{
    char i[48];
    append(who->lines, sizeof who->lines, "%s %s\n",
           kind == ON_DISABLE ? "DISABLE_IGMP" : "ENABLE_IGMP", iface(index, hop, i));
    finish(who, kind, index);
}

/* mgm.h's callbacks carry no context, so each client has a set of its own. */
#define CALLBACKS(X) \
    static DWORD rpf_##X(DWORD s, DWORD sm, DWORD g, DWORD gm, PDWORD i, PDWORD h, PDWORD u, \
                         DWORD n, PBYTE p, PBYTE r) \
    { on_rpf(&X, s, sm, g, gm, i, h, u, n, p, r); return NO_ERROR; } \
    static DWORD create_##X(DWORD s, DWORD sm, DWORD g, DWORD gm, DWORD i, DWORD h, DWORD n, \
                            PMGM_IF_ENTRY o) \
    { on_create(&X, s, sm, g, gm, i, h, n, o); return NO_ERROR; } \
    static DWORD prune_##X(DWORD s, DWORD sm, DWORD g, DWORD gm, DWORD i, DWORD h, BOOL m, \
                           PDWORD t) \
    { on_prune(&X, s, sm, g, gm, i, h, m, t); return NO_ERROR; } \
    static DWORD join_##X(DWORD s, DWORD sm, DWORD g, DWORD gm, BOOL m) \
    { on_join(&X, s, sm, g, gm, m); return NO_ERROR; } \
    static DWORD wrong_##X(DWORD s, DWORD g, DWORD i, DWORD h, DWORD n, PBYTE p) \
    { on_wrong_if(&X, s, g, i, h, n, p); return NO_ERROR; } \
    static DWORD ljoin_##X(DWORD s, DWORD sm, DWORD g, DWORD gm, DWORD i, DWORD h) \
    { on_local(&X, ON_LOCAL_JOIN, s, sm, g, gm, i, h); return NO_ERROR; } \
    static DWORD lleave_##X(DWORD s, DWORD sm, DWORD g, DWORD gm, DWORD i, DWORD h) \
    { on_local(&X, ON_LOCAL_LEAVE, s, sm, g, gm, i, h); return NO_ERROR; } \
    static DWORD disable_##X(DWORD i, DWORD h) \
    { on_igmp(&X, ON_DISABLE, i, h); return NO_ERROR; } \
    static DWORD enable_##X(DWORD i, DWORD h) \
    { on_igmp(&X, ON_ENABLE, i, h); return NO_ERROR; }

client A, B, C, IGMP, IGMP2;
CALLBACKS(A)
CALLBACKS(B)
CALLBACKS(C)
CALLBACKS(IGMP)
CALLBACKS(IGMP2)

#define RESET(X, id, comp) \
    do { \
        memset(&X, 0, sizeof X); \
        X.name = #X; \
        X.protocol = (id); \
        X.component = (comp); \
        X.config.pfnRpfCallback = rpf_##X; \
        X.config.pfnCreationAlertCallback = create_##X; \
        X.config.pfnPruneAlertCallback = prune_##X; \
        X.config.pfnJoinAlertCallback = join_##X; \
        X.config.pfnWrongIfCallback = wrong_##X; \
        X.config.pfnLocalJoinCallback = ljoin_##X; \
        X.config.pfnLocalLeaveCallback = lleave_##X; \
        X.config.pfnDisableIgmpCallback = disable_##X; \
        X.config.pfnEnableIgmpCallback = enable_##X; \
    } while (0)

/* ---- the host ---------------------------------------------------------------------------- */

static DWORD find_route(PVOID context, DWORD source, PMGM_ROUTE route)
{
    const BYTE *octets = (const BYTE *)&source;
    DWORD index = octets[0] == 10 ? __atomic_load_n(&route_if[octets[1]], __ATOMIC_SEQ_CST) : 0;
    unsigned moving = overtaken;
    (void)context;
    if (moving != 0) {
        overtaken = 0;
        route_via(moving, overtaken_by);
        CHECK_CODE(route_changed(moving), NO_ERROR);
    }
    if (index == 0)
        return ERROR_NOT_FOUND;
    memset(route, 0, sizeof *route);
    route->dwIfIndex = index;
    route->dwUpStreamNbr = source;
    route->dwRouteProtocol = 3; /* MIB_IPPROTO_NETMGMT */
    route->dwRouteMask = ip("255.255.0.0");
    route->dwRouteNetwork = source & route->dwRouteMask;
    return NO_ERROR;
}

static void transmit(PVOID context, DWORD index, DWORD next_hop, const BYTE *packet, DWORD size)
{
    char e[64], i[48];
    DWORD s, g;
    unsigned long sum = 0;
    unsigned n;
    (void)context;
    memcpy(&s, packet + 12, 4);
    memcpy(&g, packet + 16, 4);
    for (n = 0; n < 20; n += 2)
        sum += ((unsigned long)packet[n] << 8) | packet[n + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    append(sent, sizeof sent, "%s %s\n", iface(index, next_hop, i), entry(s, g, e));
    if (size != PACKET_SIZE || packet[8] != 63 || sum != 0xffff)
        append(sent, sizeof sent, "BAD copy: %u octets, ttl %u, checksum sum %lx\n",
               (unsigned)size, packet[8], sum);
}

static ULONGLONG read_clock(PVOID context)
{
    (void)context;
    return __atomic_load_n(&fixture_now, __ATOMIC_SEQ_CST);
}

void start_host_limited(DWORD max_mfes)
{
    MGM_HOST_CONFIG config;
    DWORD i;
    memset(&config, 0, sizeof config);
    config.dwSize = (DWORD)sizeof config;
    config.dwForwarder = MGM_FORWARDER_MEMORY;
    config.dwMaxMfes = max_mfes;
    config.pfnRoute = find_route;
    config.pfnTransmit = transmit;
    config.pfnClock = read_clock;
    /* Many tests provoke failures: their log lines show only when asked for. */
    config.dwLogLevel = getenv("MGM_TEST_LOG") != NULL ? MGM_LOG_DEBUG : MGM_LOG_OFF;
    for (i = 0; i < 256; i++)
        route_if[i] = i;
    sent[0] = 0;
    RESET(A, PROTOCOL_ID(PROTO_TYPE_MCAST, 0x3fff, 0x101), 1);
    RESET(B, PROTOCOL_ID(PROTO_TYPE_MCAST, 0x3fff, 0x102), 1);
    RESET(C, PROTOCOL_ID(PROTO_TYPE_MCAST, 0x3fff, 0x103), 1);
    RESET(IGMP, MS_IP_IGMP, 1);
    RESET(IGMP2, PROTO_IP_IGMP, 2);
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
}

void start_host(void) { start_host_limited(0); }

void stop_host(void) { CHECK_CODE(MgmHostStop(), NO_ERROR); }

DWORD enrol(client *who)
{
    return MgmRegisterMProtocol(&who->config, who->protocol, who->component, &who->handle);
}

void enrol_with(client *who, const DWORD *interfaces)
{
    CHECK_CODE(enrol(who), NO_ERROR);
    for (; *interfaces != 0; interfaces++)
        CHECK_CODE(take(who, *interfaces), NO_ERROR);
}

DWORD take(client *who, DWORD index) { return MgmTakeInterfaceOwnership(who->handle, index, 0); }

DWORD release(client *who, DWORD index)
{
    return MgmReleaseInterfaceOwnership(who->handle, index, 0);
}

DWORD add(client *who, const char *source, const char *group, DWORD index, DWORD flags)
{
    DWORD s = ip(source), g = ip(group);
    return MgmAddGroupMembershipEntry(who->handle, s, s ? ALL_ONES : 0, g, g ? ALL_ONES : 0, index,
                                      0, flags);
}

DWORD drop(client *who, const char *source, const char *group, DWORD index, DWORD flags)
{
    DWORD s = ip(source), g = ip(group);
    return MgmDeleteGroupMembershipEntry(who->handle, s, s ? ALL_ONES : 0, g, g ? ALL_ONES : 0,
                                         index, 0, flags);
}

void route_via(unsigned second_octet, DWORD index)
{
    __atomic_store_n(&route_if[second_octet & 255], index, __ATOMIC_SEQ_CST);
}

DWORD route_changed(unsigned second_octet)
{
    BYTE octets[4] = {10, 0, 0, 0};
    DWORD network;
    octets[1] = (BYTE)second_octet;
    memcpy(&network, octets, 4);
    return MgmHostRouteChanged(network, ip("255.255.0.0"));
}

void overtake_look_up(unsigned second_octet, DWORD index)
{
    overtaken_by = index;
    overtaken = second_octet;
}

DWORD later(DWORD seconds)
{
    __atomic_add_fetch(&fixture_now, (ULONGLONG)seconds * 1000, __ATOMIC_SEQ_CST);
    /* A network nothing is routed through: the host looks at the clock and does no more. */
    return MgmHostRouteChanged(ip("192.0.2.0"), ip("255.255.255.0"));
}

/* ---- packets ------------------------------------------------------------------------------ */

void make_packet(BYTE *packet, const char *source, const char *group, unsigned ttl)
{
    DWORD s = ip(source), g = ip(group);
    unsigned long sum = 0;
    unsigned n;
    memset(packet, 0, PACKET_SIZE);
    packet[0] = 0x45;
    packet[3] = PACKET_SIZE;
    packet[8] = (BYTE)ttl;
    packet[9] = 17; /* UDP */
    memcpy(packet + 12, &s, 4);
    memcpy(packet + 16, &g, 4);
    packet[25] = PACKET_SIZE - 20; /* the UDP length; no UDP checksum */
    for (n = 28; n < PACKET_SIZE; n++)
        packet[n] = (BYTE)n;
    for (n = 0; n < 20; n += 2)
        sum += ((unsigned long)packet[n] << 8) | packet[n + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    packet[10] = (BYTE)(~sum >> 8);
    packet[11] = (BYTE)~sum;
}

DWORD packet_in(DWORD index, const char *source, const char *group)
{
    BYTE packet[PACKET_SIZE];
    make_packet(packet, source, group, 64);
    return MgmHostReceive(index, 0, packet, PACKET_SIZE);
}

/* ---- looking --------------------------------------------------------------------------------- */

static const char *take_text(char *from, char *to, size_t size)
{
    pthread_mutex_lock(&lock);
    memcpy(to, from, size);
    from[0] = 0;
    pthread_mutex_unlock(&lock);
    return to;
}

const char *lines_of(client *who)
{
    static char text[sizeof who->lines];
    return take_text(who->lines, text, sizeof text);
}

const char *transmitted(void)
{
    static char text[sizeof sent];
    return take_text(sent, text, sizeof text);
}

void forget_all(void)
{
    lines_of(&A);
    lines_of(&B);
    lines_of(&C);
    lines_of(&IGMP);
    lines_of(&IGMP2);
    transmitted();
}

/* Reads an MFE whole, with malloc; NULL where there is none. */
static PMIB_IPMCAST_MFE read_mfe(const char *source, const char *group)
{
    MIB_IPMCAST_MFE key;
    DWORD size = 0, code;
    BYTE none[1];
    PMIB_IPMCAST_MFE mfe;
    memset(&key, 0, sizeof key);
    key.dwSource = ip(source);
    key.dwGroup = ip(group);
    key.dwSrcMask = ALL_ONES;
    code = MgmGetMfe(&key, &size, none);
    if (code == ERROR_NOT_FOUND)
        return NULL;
    CHECK_CODE(code, ERROR_INSUFFICIENT_BUFFER);
    if (code != ERROR_INSUFFICIENT_BUFFER)
        return NULL;
    mfe = (PMIB_IPMCAST_MFE)malloc(size < sizeof *mfe ? sizeof *mfe : size);
    if (mfe == NULL)
        return NULL;
    if (!CHECK_CODE(MgmGetMfe(&key, &size, (PBYTE)mfe), NO_ERROR)) {
        free(mfe);
        return NULL;
    }
    CHECK_EQ(size, SIZEOF_MIB_MFE(mfe->ulNumOutIf));
    return mfe;
}

const char *oifs_of(const char *source, const char *group)
{
    static char text[1024];
    PMIB_IPMCAST_MFE mfe = read_mfe(source, group);
    DWORD n;
    if (mfe == NULL)
        return "no entry";
    text[0] = 0;
    for (n = 0; n < mfe->ulNumOutIf; n++) {
        char o[48];
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s", n ? " " : "",
                 iface(mfe->rgmioOutInfo[n].dwOutIfIndex, mfe->rgmioOutInfo[n].dwNextHopAddr, o));
    }
    free(mfe);
    return text;
}

int mfe_of(const char *source, const char *group, MIB_IPMCAST_MFE *out)
{
    PMIB_IPMCAST_MFE mfe = read_mfe(source, group);
    memset(out, 0, sizeof *out);
    if (mfe == NULL)
        return 0;
    memcpy(out, mfe, SIZEOF_BASIC_MIB_MFE);
    free(mfe);
    return 1;
}

DWORD mfe_count(void)
{
    static BYTE buffer[65536];
    DWORD size = sizeof buffer, entries = 0, total;
    DWORD code = MgmGetFirstMfe(&size, buffer, &entries);
    total = entries;
    while (code == ERROR_MORE_DATA && entries > 0) {
        MIB_IPMCAST_MFE last;
        BYTE *at = buffer;
        DWORD n;
        for (n = 0; n < entries; n++) {
            memcpy(&last, at, SIZEOF_BASIC_MIB_MFE);
            at += SIZEOF_MIB_MFE(last.ulNumOutIf);
        }
        size = sizeof buffer;
        code = MgmGetNextMfe(&last, &size, buffer, &entries);
        total += entries;
    }
    CHECK_CODE(code, ERROR_NO_MORE_ITEMS);
    return total;
}
