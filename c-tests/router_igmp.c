/* The IGMP client of the router (RFC 3376, with the older versions' reports and leaves). What one
 * host said is kept for that host, so that one host's leave does not cut another off. On any
 * interface, a group is wanted from anybody if one host wants it so, and otherwise from the
 * sources that hosts named. Groups are forwarded whole to hosts that exclude sources: a host
 * filters for itself.
 *
 * Left out, because this is not what the program is there to show: the election of a querier, and the
 * last-member query's patience (a group without hosts is dropped at once and asked for again, so
 * that hosts whose report was suppressed come back). */
#include "router.h"
#include "mgm_host.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netpacket/packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WHO "igmp"
enum {
    QUERY = 0x11, V1_REPORT = 0x12, V2_REPORT = 0x16, V2_LEAVE = 0x17, V3_REPORT = 0x22,
    IS_IN = 1, IS_EX = 2, TO_IN = 3, TO_EX = 4, ALLOW = 5, BLOCK = 6,
    MAX_SOURCES = 64,   /* that one host may name in one group */
    MAX_HOSTS = 16384,  /* host records in all, so that reports cannot exhaust memory */
    QUERY_RESPONSE_MS = 1000
};

typedef struct host { /* what one host said of one group */
    struct host *next;
    DWORD address;
    int any;            /* EXCLUDE mode, or an older version: from anybody */
    unsigned count;
    DWORD sources[MAX_SOURCES]; /* INCLUDE mode: from these */
    uint64_t expires;
} host;

typedef struct member_group { /* one group on one interface */
    struct member_group *next;
    DWORD index, group;
    host *hosts;
    int any;            /* what libmgm has been told: (*,G), and (S,G) for these */
    unsigned count;
    DWORD *sources;
} member_group;

static HANDLE igmp;
static int sock = -1;    /* hosts are heard on this one */
static int queries = -1; /* and asked on this one */
static member_group *groups;
static unsigned host_count;
static uint64_t next_query, query_interval_ms, host_lifetime_ms;

/* ---- what libmgm is told ---------------------------------------------------------------------- */

static void tell(int add, DWORD source, DWORD group, DWORD index)
{
    DWORD mask = source ? ALL_ONES : 0;
    if (add)
        MUST(MgmAddGroupMembershipEntry(igmp, source, mask, group, ALL_ONES, index, 0,
                                        MGM_JOIN_STATE_FLAG));
    else
        MUST(MgmDeleteGroupMembershipEntry(igmp, source, mask, group, ALL_ONES, index, 0,
                                           MGM_JOIN_STATE_FLAG));
}

static int contains(const DWORD *list, unsigned count, DWORD source)
{
    while (count-- > 0)
        if (*list++ == source)
            return 1;
    return 0;
}

/* Brings libmgm's memberships to what the hosts of `g` want now: additions first, so that a
 * source that goes on being wanted is never without a membership. */
static void update(member_group *g)
{
    DWORD *wanted = NULL;
    unsigned count = 0, room = 0, n;
    int any = 0;
    const host *h;
    for (h = g->hosts; h != NULL; h = h->next)
        room += h->count;
    if (room > 0 && (wanted = (DWORD *)malloc(room * sizeof *wanted)) == NULL)
        return; /* no memory: as it was */
    for (h = g->hosts; h != NULL; h = h->next) {
        any |= h->any;
        for (n = 0; n < h->count; n++)
            if (!contains(wanted, count, h->sources[n]))
                wanted[count++] = h->sources[n];
    }
    if (any && !g->any)
        tell(1, 0, g->group, g->index);
    for (n = 0; n < count; n++)
        if (!contains(g->sources, g->count, wanted[n]))
            tell(1, wanted[n], g->group, g->index);
    if (!any && g->any)
        tell(0, 0, g->group, g->index);
    for (n = 0; n < g->count; n++)
        if (!contains(wanted, count, g->sources[n]))
            tell(0, g->sources[n], g->group, g->index);
    free(g->sources);
    g->sources = wanted;
    g->count = count;
    g->any = any;
}

static void tell_all(DWORD index)
{
    const member_group *g;
    unsigned n;
    for (g = groups; g != NULL; g = g->next) {
        if (g->index != index)
            continue;
        if (g->any)
            tell(1, 0, g->group, index);
        for (n = 0; n < g->count; n++)
            tell(1, g->sources[n], g->group, index);
    }
}

/* The routing protocol came or went: libmgm dropped our memberships there (rule C3). Nobody changes the
 * lists meanwhile: the main thread waits in the call that caused this, or this is the main thread. */
static DWORD enable_igmp(DWORD index, DWORD next_hop)
{
    (void)next_hop;
    tell_all(index);
    say(WHO, "enabled on %s", interface_name(index));
    return NO_ERROR;
}

static DWORD disable_igmp(DWORD index, DWORD next_hop)
{
    (void)next_hop;
    say(WHO, "disabled on %s", interface_name(index));
    return NO_ERROR;
}

/* ---- what hosts say --------------------------------------------------------------------------- */

static member_group *find_group(DWORD index, DWORD group)
{
    member_group *g = groups;
    while (g != NULL && (g->index != index || g->group != group))
        g = g->next;
    return g;
}

static host *find_host(member_group *g, DWORD address)
{
    host *h = g ? g->hosts : NULL;
    while (h != NULL && h->address != address)
        h = h->next;
    return h;
}

static host *new_host(DWORD index, DWORD group, DWORD address)
{
    member_group *g = find_group(index, group);
    host *h;
    if (host_count == MAX_HOSTS || (h = (host *)calloc(1, sizeof *h)) == NULL)
        return NULL;
    if (g == NULL) {
        if ((g = (member_group *)calloc(1, sizeof *g)) == NULL) {
            free(h);
            return NULL;
        }
        g->index = index;
        g->group = group;
        g->next = groups;
        groups = g;
    }
    h->address = address;
    h->next = g->hosts;
    g->hosts = h;
    host_count++;
    return h;
}

static void remove_host(member_group *g, host *gone)
{
    host **link = &g->hosts;
    while (*link != gone)
        link = &(*link)->next;
    *link = gone->next;
    free(gone);
    host_count--;
}

/* Forgets groups that have no hosts. */
static void sweep(void)
{
    member_group **link = &groups;
    while (*link != NULL) {
        member_group *g = *link;
        if (g->hosts != NULL) {
            link = &g->next;
            continue;
        }
        *link = g->next;
        free(g->sources);
        free(g);
    }
}

static void send_query(DWORD index, DWORD group);

/* One group record of a host; older versions' messages come as what they mean in version 3. */
static void record(DWORD index, DWORD from, DWORD group, unsigned type, const BYTE *sources,
                   unsigned count)
{
    member_group *g = find_group(index, group);
    host *h = find_host(g, from);
    unsigned n;
    int was_there = h != NULL;

    if ((ntohl(group) >> 28) != 14 || (ntohl(group) >> 8) == 0xe00000)
        return; /* not a group, or one that stays on its link */
    if (count > MAX_SOURCES)
        count = MAX_SOURCES;
    if (h == NULL) {
        if (type == BLOCK || ((type == IS_IN || type == TO_IN || type == ALLOW) && count == 0))
            return; /* wants nothing, as before */
        if ((h = new_host(index, group, from)) == NULL) {
            say(WHO, "no room for %s on %s", entry_text(0, group), interface_name(index));
            return;
        }
        g = find_group(index, group);
    }
    h->expires = now_ms() + host_lifetime_ms;
    if (type == IS_EX || type == TO_EX) {
        h->any = 1;
        h->count = 0;
    } else if (type == TO_IN || (type == IS_IN && h->any)) {
        h->any = 0;
        h->count = 0;
    }
    for (n = 0; n < count && !h->any; n++) {
        DWORD source;
        unsigned at;
        memcpy(&source, sources + 4 * n, 4);
        for (at = 0; at < h->count && h->sources[at] != source; at++)
            ;
        if (type == BLOCK && at < h->count)
            h->sources[at] = h->sources[--h->count];
        else if (type != BLOCK && at == h->count && h->count < MAX_SOURCES)
            h->sources[h->count++] = source;
    }
    if (!h->any && h->count == 0) {
        remove_host(g, h);
        update(g);
        say(WHO, "%s left %s on %s", address_text(from), address_text(group),
            interface_name(index));
        if (g->hosts == NULL)
            send_query(index, group); /* a host that was silent because of this one speaks up */
        return;
    }
    update(g);
    if (!was_there)
        say(WHO, "%s joined %s on %s", address_text(from), address_text(group),
            interface_name(index));
}

static unsigned checksum(const BYTE *bytes, size_t length)
{
    unsigned long sum = 0;
    size_t n;
    for (n = 0; n + 1 < length; n += 2)
        sum += ((unsigned long)bytes[n] << 8) | bytes[n + 1];
    if (length % 2 != 0)
        sum += (unsigned long)bytes[length - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (unsigned)(~sum & 0xffff);
}

static DWORD word(const BYTE *bytes)
{
    DWORD value;
    memcpy(&value, bytes, 4);
    return value;
}

static void message(DWORD index, DWORD from, const BYTE *m, size_t length)
{
    unsigned records, n;
    size_t at = 8;
    if (length < 8 || checksum(m, length) != 0)
        return;
    switch (m[0]) {
    case V1_REPORT:
    case V2_REPORT:
        record(index, from, word(m + 4), IS_EX, NULL, 0);
        break;
    case V2_LEAVE:
        record(index, from, word(m + 4), TO_IN, NULL, 0);
        break;
    case V3_REPORT:
        records = (unsigned)m[6] << 8 | m[7];
        for (n = 0; n < records && at + 8 <= length; n++) {
            unsigned count = (unsigned)m[at + 2] << 8 | m[at + 3];
            size_t size = 8 + 4 * (size_t)count + 4 * (size_t)m[at + 1];
            if (m[at] < IS_IN || m[at] > BLOCK || size > length - at)
                break; /* the rest of a report that is not sound says nothing */
            record(index, from, word(m + at + 4), m[at], m + at + 8, count);
            at += size;
        }
        break;
    default: /* queries of other routers among them */
        break;
    }
}

/* ---- the socket ------------------------------------------------------------------------------- */

static void fatal(const char *what)
{
    fprintf(stderr, "router: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Hosts are heard on a packet socket. A raw socket would not do: the kernel gives a report of version 1
 * or 2 that has no router alert option to the forwarder's socket alone. All reports reach this machine,
 * for a device that the forwarder uses receives every multicast packet. */
static void open_socket(void)
{
    static struct sock_filter igmp_only[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9), /* the protocol; there is no link header before it */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_IGMP, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 65535),
        BPF_STMT(BPF_RET | BPF_K, 0)};
    static struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    static const BYTE router_alert[4] = {148, 4, 0, 0}; /* RFC 2113 */
    struct sock_fprog heard = {4, igmp_only}, none = {1, nothing};
    struct sockaddr_ll all;
    int off = 0;
    /* Bound once the filter is there, so that nothing else comes in before. */
    sock = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sock < 0)
        fatal("packet socket (it needs CAP_NET_RAW)");
    memset(&all, 0, sizeof all);
    all.sll_family = AF_PACKET;
    all.sll_protocol = htons(ETHERTYPE_IP);
    if (setsockopt(sock, SOL_SOCKET, SO_ATTACH_FILTER, &heard, sizeof heard) != 0 ||
        bind(sock, (struct sockaddr *)&all, sizeof all) != 0)
        fatal("hearing IGMP on the packet socket");
    queries = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_IGMP);
    if (queries < 0)
        fatal("raw IGMP socket (it needs CAP_NET_RAW)");
    if (setsockopt(queries, SOL_SOCKET, SO_ATTACH_FILTER, &none, sizeof none) != 0 ||
        setsockopt(queries, IPPROTO_IP, IP_MULTICAST_LOOP, &off, sizeof off) != 0 ||
        setsockopt(queries, IPPROTO_IP, IP_OPTIONS, router_alert, sizeof router_alert) != 0)
        fatal("options of the IGMP socket");
}

/* A version 3 query; group 0 asks for all groups. */
static void send_query(DWORD index, DWORD group)
{
    BYTE query[12] = {QUERY, QUERY_RESPONSE_MS / 100, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0};
    struct sockaddr_in to;
    struct ip_mreqn via;
    unsigned sum;
    memcpy(query + 4, &group, 4);
    sum = checksum(query, sizeof query);
    query[2] = (BYTE)(sum >> 8);
    query[3] = (BYTE)sum;
    memset(&via, 0, sizeof via);
    via.imr_ifindex = (int)index;
    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = group ? group : inet_addr("224.0.0.1");
    if (setsockopt(queries, IPPROTO_IP, IP_MULTICAST_IF, &via, sizeof via) != 0 ||
        sendto(queries, query, sizeof query, 0, (struct sockaddr *)&to, sizeof to) < 0)
        say(WHO, "query on %s: %s", interface_name(index), strerror(errno));
}

/* Where the packet ends: a short one was filled up to the least size of a frame. */
static size_t ip_end(const BYTE *packet, ssize_t length, size_t header)
{
    size_t total = (size_t)packet[2] << 8 | packet[3];
    return total < header || total > (size_t)length ? (size_t)length : total;
}

void igmp_read(void)
{
    BYTE packet[65536];
    for (;;) {
        struct sockaddr_ll from;
        socklen_t size = sizeof from;
        ssize_t length;
        size_t header;
        DWORD index;
        memset(&from, 0, sizeof from);
        length = recvfrom(sock, packet, sizeof packet, 0, (struct sockaddr *)&from, &size);
        if (length < 0)
            break; /* nothing more now */
        header = 4 * (size_t)(packet[0] & 15);
        index = (DWORD)from.sll_ifindex;
        /* The kernel has not looked at the packet yet. */
        if (length < 20 || packet[0] >> 4 != 4 || header < 20 || header > (size_t)length ||
            checksum(packet, header) != 0 || ((packet[6] & 0x3f) | packet[7]) != 0 /* a fragment */ ||
            strcmp(interface_name(index), "?") == 0)
            continue;
        message(index, word(packet + 12), packet + header, ip_end(packet, length, header) - header);
    }
    sweep();
}

int igmp_socket(void) { return sock; }

int igmp_tick(void)
{
    uint64_t now = now_ms(), next;
    member_group *g;
    int n;
    if (now >= next_query) {
        for (n = 0; n < interface_count; n++)
            send_query(interfaces[n].index, 0);
        next_query = now + query_interval_ms;
    }
    next = next_query;
    for (g = groups; g != NULL; g = g->next) {
        host *h = g->hosts, *following;
        int changed = 0;
        for (; h != NULL; h = following) {
            following = h->next;
            if (h->expires <= now) {
                say(WHO, "%s on %s fell silent, dropped from %s", address_text(h->address),
                    interface_name(g->index), address_text(g->group));
                remove_host(g, h);
                changed = 1;
            } else if (h->expires < next) {
                next = h->expires;
            }
        }
        if (changed)
            update(g);
    }
    sweep();
    return (int)(next - now);
}

/* ---- start and end ---------------------------------------------------------------------------- */

void igmp_open(unsigned query_interval_s)
{
    query_interval_ms = (uint64_t)query_interval_s * 1000;
    host_lifetime_ms = 2 * query_interval_ms + QUERY_RESPONSE_MS; /* RFC 3376, 8.4 */
    open_socket();
}

HANDLE igmp_handle(void) { return igmp; }

DWORD igmp_register(void)
{
    ROUTING_PROTOCOL_CONFIG config;
    DWORD code;
    int n;
    memset(&config, 0, sizeof config);
    config.pfnDisableIgmpCallback = disable_igmp;
    config.pfnEnableIgmpCallback = enable_igmp;
    config.dwCallbackFlags = apart ? MGM_DISPATCHED : 0;
    code = MgmRegisterMProtocol(&config, MS_IP_IGMP, 1, &igmp);
    if (code != NO_ERROR)
        return code;
    for (n = 0; n < interface_count; n++) {
        MUST(MgmTakeInterfaceOwnership(igmp, interfaces[n].index, 0));
        tell_all(interfaces[n].index);
    }
    next_query = 0; /* whoever was not heard meanwhile speaks up */
    return NO_ERROR;
}

void igmp_stop(void)
{
    member_group *g;
    int n;
    for (g = groups; g != NULL; g = g->next) {
        while (g->hosts != NULL)
            remove_host(g, g->hosts);
        update(g);
    }
    sweep();
    for (n = 0; n < interface_count; n++)
        MUST(MgmReleaseInterfaceOwnership(igmp, interfaces[n].index, 0));
    MUST(MgmDeRegisterMProtocol(igmp));
    close(sock);
    close(queries);
    say(WHO, "deleted its memberships, released its interfaces and deregistered");
}
