/* The routers: bare loops of system calls, and a protocol on libmgm. */
#include "kernel.h"
#include <mgm_host.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

struct interfaces here;

struct interfaces find_interfaces(void)
{
    struct interfaces found = {if_nametoindex("to-src"), {0}, 0};
    char name[16];
    while (found.outs < MAX_OUT) {
        snprintf(name, sizeof name, "to-rcv%u", found.outs + 1);
        found.out[found.outs] = if_nametoindex(name);
        if (found.out[found.outs] == 0)
            break;
        found.outs++;
    }
    if (found.in == 0 || found.outs == 0)
        fatal("to-src, to-rcv1");
    return found;
}

/* ---- bare ---- */

int mroute(struct interfaces on)
{
    unsigned n;
    int yes = 1, s = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_IGMP);
    MUST(s);
    MUST(setsockopt(s, IPPROTO_IP, MRT_INIT, &yes, sizeof yes));
    for (n = 0; n <= on.outs; n++) {
        struct vifctl vif;
        memset(&vif, 0, sizeof vif);
        vif.vifc_vifi = (vifi_t)n;
        vif.vifc_flags = VIFF_USE_IFINDEX;
        vif.vifc_threshold = 1;
        vif.vifc_lcl_ifindex = (int)(n == 0 ? on.in : on.out[n - 1]);
        MUST(setsockopt(s, IPPROTO_IP, MRT_ADD_VIF, &vif, sizeof vif));
    }
    return s;
}

struct mfcctl mfc(unsigned flow, unsigned oifs)
{
    struct mfcctl entry;
    unsigned n;
    memset(&entry, 0, sizeof entry);
    entry.mfcc_origin.s_addr = htonl(SOURCE + flow);
    entry.mfcc_mcastgrp.s_addr = htonl(GROUP);
    for (n = 1; n <= oifs; n++)
        entry.mfcc_ttls[n] = 1;
    return entry;
}

/* The flow that a message of the kernel reports; -1: none. */
static int64_t reported(const void *message, ssize_t size)
{
    const struct igmpmsg *m = message;
    if (size < (ssize_t)sizeof *m || m->im_mbz != 0 || m->im_msgtype != IGMPMSG_NOCACHE)
        return -1;
    return (int64_t)ntohl(m->im_src.s_addr) - SOURCE;
}

static void resolve(int s, int64_t flow)
{
    struct mfcctl entry = mfc((unsigned)flow, here.outs);
    MUST(setsockopt(s, IPPROTO_IP, MRT_ADD_MFC, &entry, sizeof entry));
}

/* The system's own receive buffer, oldest first. */
void bare_router(int ready)
{
    char buffer[64];
    int s = mroute(here);
    MUST((int)write(ready, "", 1));
    for (;;) {
        int64_t flow = reported(buffer, recv(s, buffer, sizeof buffer, 0));
        if (flow >= 0)
            resolve(s, flow);
    }
}

#define AT_ONCE 64

/* A buffer that holds a long queue, newest first: the kernel keeps what waits on one list, newest
 * first, and walks it for each that is resolved. */
void bare_router_newest_first(int ready)
{
    static char buffers[AT_ONCE][64];
    static int64_t waiting[1 << 20];
    struct iovec parts[AT_ONCE];
    struct mmsghdr messages[AT_ONCE];
    int size = 64 << 20, s = mroute(here), got, n;
    unsigned long depth = 0;
    MUST(setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size));
    memset(messages, 0, sizeof messages);
    for (n = 0; n < AT_ONCE; n++) {
        parts[n] = (struct iovec){buffers[n], sizeof buffers[n]};
        messages[n].msg_hdr.msg_iov = &parts[n];
        messages[n].msg_hdr.msg_iovlen = 1;
    }
    MUST((int)write(ready, "", 1));
    for (;;) {
        do {
            got = recvmmsg(s, messages, AT_ONCE, depth > 0 ? MSG_DONTWAIT : MSG_WAITFORONE, NULL);
            for (n = 0; n < got; n++) {
                int64_t flow = reported(buffers[n], messages[n].msg_len);
                if (flow >= 0 && depth < sizeof waiting / sizeof *waiting)
                    waiting[depth++] = flow;
            }
        } while (got == AT_ONCE);
        for (n = 0; n < AT_ONCE && depth > 0; n++)
            resolve(s, waiting[--depth]);
    }
}

/* ---- libmgm ---- */

static HANDLE protocol;

static DWORD rpf(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, PDWORD index,
                 PDWORD next_hop, PDWORD upstream, DWORD header_size, PBYTE header, PBYTE route)
{
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)index, (void)next_hop;
    (void)upstream, (void)header_size, (void)header, (void)route;
    return NO_ERROR;
}

static DWORD creation(DWORD source, DWORD source_mask, DWORD group, DWORD group_mask, DWORD index,
                      DWORD next_hop, DWORD number, PMGM_IF_ENTRY out)
{
    (void)source, (void)source_mask, (void)group, (void)group_mask, (void)index, (void)next_hop;
    (void)number, (void)out;
    return NO_ERROR;
}

void mgm_member(BOOL add, unsigned index)
{
    if (add)
        GOOD(MgmAddGroupMembershipEntry(protocol, 0, 0, htonl(GROUP), 0xffffffff, index, 0,
                                        MGM_JOIN_STATE_FLAG));
    else
        GOOD(MgmDeleteGroupMembershipEntry(protocol, 0, 0, htonl(GROUP), 0xffffffff, index, 0,
                                           MGM_JOIN_STATE_FLAG));
}

void mgm_take(void)
{
    GOOD(MgmTakeInterfaceOwnership(protocol, here.in, 0));
}

void mgm_release(void)
{
    GOOD(MgmReleaseInterfaceOwnership(protocol, here.in, 0));
}

static void registered(DWORD id)
{
    ROUTING_PROTOCOL_CONFIG callbacks;
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.pfnRpfCallback = rpf;
    callbacks.pfnCreationAlertCallback = creation;
    GOOD(MgmRegisterMProtocol(&callbacks, id, 1, &protocol));
}

static void take_outs(void)
{
    unsigned n;
    for (n = 0; n < here.outs; n++) {
        GOOD(MgmTakeInterfaceOwnership(protocol, here.out[n], 0));
        mgm_member(TRUE, here.out[n]);
    }
}

void mgm_start(void)
{
    setenv("MGM_FORWARDER", "kernel", 1);
    registered(1);
    mgm_take();
    take_outs();
}

void mgm_start_two(void)
{
    setenv("MGM_FORWARDER", "kernel", 1);
    mgm_client_in();
    mgm_client_out();
}

void mgm_host(const char *path)
{
    MGM_HOST_CONFIG config;
    memset(&config, 0, sizeof config);
    config.dwSize = sizeof config;
    config.dwForwarder = MGM_FORWARDER_KERNEL;
    config.pszServePath = path;
    GOOD(MgmHostStart(&config));
}

void mgm_client_in(void)
{
    registered(1);
    mgm_take();
}

void mgm_client_out(void)
{
    registered(2);
    take_outs();
}
