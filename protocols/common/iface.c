#include "iface.h"
#include "log.h"
#include "loop.h"
#include <errno.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

iface *ifaces;
static iface_listener *listeners;
static int netlink = -1;

void iface_listen(iface_listener *listener)
{
    iface_listener **end = &listeners;
    while (*end != NULL)
        end = &(*end)->next;
    listener->next = NULL;
    *end = listener;
}

iface *iface_by_index(unsigned index)
{
    iface *i = ifaces;
    while (i != NULL && (i->index != index || index == 0))
        i = i->next;
    return i;
}

bool iface_owns(const iface *i, uint32_t address)
{
    for (unsigned n = 0; n < i->net_count; n++)
        if (i->nets[n].address == address)
            return true;
    return false;
}

bool iface_on_link(const iface *i, uint32_t address)
{
    if (i->net_count == 0)
        return true;
    for (unsigned n = 0; n < i->net_count; n++)
        if ((address & i->nets[n].mask) == i->nets[n].network)
            return true;
    return false;
}

/* ---- what the kernel has ------------------------------------------------------------------------- */

/* An address may carry a label such as "eth0:1". */
static bool name_fits(const char *label, const char *name)
{
    size_t length = strlen(name);
    return strncmp(label, name, length) == 0 && (label[length] == 0 || label[length] == ':');
}

static unsigned mtu_of(const char *name)
{
    struct ifreq request;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memset(&request, 0, sizeof request);
    memcpy(request.ifr_name, name, strlen(name));
    if (fd < 0 || ioctl(fd, SIOCGIFMTU, &request) != 0)
        request.ifr_mtu = 1500;
    if (fd >= 0)
        close(fd);
    return (unsigned)request.ifr_mtu;
}

/* Fills in *now with what the device of that name is; its index stays 0 where there is none. */
static void look(const struct ifaddrs *all, iface *now)
{
    const struct ifaddrs *a;
    for (a = all; a != NULL; a = a->ifa_next) {
        struct sockaddr_ll link;
        if (a->ifa_addr == NULL || a->ifa_addr->sa_family != AF_PACKET || strcmp(a->ifa_name, now->name) != 0)
            continue;
        memcpy(&link, a->ifa_addr, sizeof link);
        now->index = (unsigned)link.sll_ifindex;
        now->up = (a->ifa_flags & IFF_UP) != 0 && (a->ifa_flags & IFF_RUNNING) != 0;
        now->point_to_point = (a->ifa_flags & IFF_POINTOPOINT) != 0;
        now->mtu = mtu_of(now->name);
        break;
    }
    for (a = all; a != NULL && now->index != 0; a = a->ifa_next) {
        struct sockaddr_in in;
        iface_net *net = &now->nets[now->net_count];
        if (a->ifa_addr == NULL || a->ifa_addr->sa_family != AF_INET || !name_fits(a->ifa_name, now->name))
            continue;
        if (now->net_count == IFACE_NETS)
            break;
        memcpy(&in, a->ifa_addr, sizeof in);
        net->address = in.sin_addr.s_addr;
        net->mask = 0xffffffff;
        if (a->ifa_netmask != NULL) {
            memcpy(&in, a->ifa_netmask, sizeof in);
            net->mask = in.sin_addr.s_addr;
        }
        net->network = net->address & net->mask;
        /* On a point-to-point link what the prefix is about is the other end. */
        if ((a->ifa_flags & IFF_POINTOPOINT) != 0 && a->ifa_dstaddr != NULL) {
            memcpy(&in, a->ifa_dstaddr, sizeof in);
            net->network = in.sin_addr.s_addr & net->mask;
        }
        if (now->net_count++ == 0)
            now->address = net->address;
    }
}

static bool same(const iface *a, const iface *b)
{
    return a->up == b->up && a->point_to_point == b->point_to_point && a->mtu == b->mtu && a->address == b->address &&
           a->net_count == b->net_count && memcmp(a->nets, b->nets, a->net_count * sizeof *a->nets) == 0;
}

static void tell(iface *i, size_t which)
{
    iface_listener *l, *next;
    for (l = listeners; l != NULL; l = next) {
        void (*function)(iface *);
        next = l->next;
        memcpy(&function, (char *)l + which, sizeof function);
        if (function != NULL)
            function(i);
    }
}
#define TELL(i, which) tell(i, offsetof(iface_listener, which))

static void compare(iface *i, const struct ifaddrs *all)
{
    iface now;
    memset(&now, 0, sizeof now);
    memcpy(now.name, i->name, sizeof now.name);
    look(all, &now);
    now.next = i->next;
    if (i->index != 0 && now.index != i->index) {
        log_info("%s has gone", i->name);
        i->up = false;
        TELL(i, went);
        memset(&i->index, 0, sizeof *i - offsetof(iface, index));
    }
    if (now.index == 0)
        return;
    if (i->index == 0) {
        *i = now;
        log_info("%s is there: interface %u", i->name, i->index);
        TELL(i, came);
    } else if (!same(i, &now)) {
        *i = now;
        TELL(i, changed);
    }
}

/* Looks at all names anew. What rtnetlink says is only that something has changed, so that a message that was lost does no
 * harm. */
static void look_at(iface *one)
{
    struct ifaddrs *all;
    iface *i;
    if (getifaddrs(&all) != 0) {
        static log_limit limit;
        log_limited(&limit, LEVEL_WARN, "reading the interfaces: %s", strerror(errno));
        return;
    }
    for (i = one ? one : ifaces; i != NULL; i = one ? NULL : i->next)
        compare(i, all);
    freeifaddrs(all);
}

iface *iface_named(const char *name)
{
    size_t length = strlen(name);
    iface *i;
    if (length == 0 || length >= IF_NAMESIZE || strpbrk(name, "/ \t\n") != NULL)
        return NULL;
    for (i = ifaces; i != NULL; i = i->next)
        if (strcmp(i->name, name) == 0)
            return i;
    if ((i = calloc(1, sizeof *i)) == NULL)
        die("out of memory");
    memcpy(i->name, name, length);
    i->next = ifaces;
    ifaces = i;
    if (netlink >= 0)
        look_at(i);
    return i;
}

static void something_changed(void *with, short events)
{
    char buffer[16384];
    (void)with, (void)events;
    /* ENOBUFS says that messages were lost: the look below makes up for it. */
    while (recv(netlink, buffer, sizeof buffer, 0) > 0 || errno == ENOBUFS || errno == EINTR)
        ;
    look_at(NULL);
}

void iface_start(void)
{
    struct sockaddr_nl here = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR};
    iface *i;
    netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (netlink < 0 || bind(netlink, (struct sockaddr *)&here, sizeof here) != 0)
        die("rtnetlink: %s", strerror(errno));
    loop_watch(netlink, something_changed, NULL);
    look_at(NULL);
    for (i = ifaces; i != NULL; i = i->next)
        if (i->index == 0)
            log_info("%s is not there yet; waiting for it", i->name);
}
