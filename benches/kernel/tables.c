/* One change over many entries, their statistics, their withdrawal. libmgm's entries are in the
 * namespace rtr, the bare loop's in the namespace ref, so that both take turns in one process. */
#include "kernel.h"
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int reference; /* the bare loop's socket */

/* Kernel memory in use, in octets. */
static double slab(void)
{
    char line[128];
    long kilobytes = 0;
    FILE *f = fopen("/proc/meminfo", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "Slab: %ld", &kilobytes) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return (double)kilobytes * 1024;
}

static void bare_set(unsigned oifs)
{
    unsigned n;
    for (n = 0; n < count; n++) {
        struct mfcctl entry = mfc(n, oifs);
        MUST(setsockopt(reference, IPPROTO_IP, MRT_ADD_MFC, &entry, sizeof entry));
    }
}

static void bare_withdraw(void)
{
    unsigned n;
    for (n = 0; n < count; n++) {
        struct mfcctl entry = mfc(n, 0);
        MUST(setsockopt(reference, IPPROTO_IP, MRT_DEL_MFC, &entry, sizeof entry));
    }
}

static void bare_statistics(void)
{
    unsigned n;
    for (n = 0; n < count; n++) {
        struct sioc_sg_req request;
        memset(&request, 0, sizeof request);
        request.src.s_addr = htonl(SOURCE + n);
        request.grp.s_addr = htonl(GROUP);
        MUST(ioctl(reference, SIOCGETSGCNT, &request));
    }
}

static void mgm_statistics(void)
{
    static BYTE buffer[65536];
    MIB_IPMCAST_MFE last;
    DWORD size = sizeof buffer, entries, total = 0;
    DWORD code = MgmGetFirstMfeStats(&size, buffer, &entries, MGM_MFE_STATS_0);
    while (code == ERROR_MORE_DATA) {
        const BYTE *at = buffer;
        DWORD n;
        total += entries;
        /* Records follow each other; each says how many oifs it has. */
        for (n = 1; n < entries; n++)
            at += SIZEOF_MIB_MFE_STATS(((const MIB_IPMCAST_MFE_STATS *)(const void *)at)->ulNumOutIf);
        memset(&last, 0, sizeof last);
        memcpy(&last, at, 8); /* group and source */
        size = sizeof buffer;
        code = MgmGetNextMfeStats(&last, &size, buffer, &entries, MGM_MFE_STATS_0);
    }
    total += entries;
    if (code != ERROR_NO_MORE_ITEMS || total != count) {
        fprintf(stderr, "kernel: %u of %u statistics, code %u\n", total, count, code);
        exit(1);
    }
}

/* How many oifs the kernel has for a flow of this namespace; -1: it has no entry. */
static int oifs_of(unsigned flow)
{
    static int s = -1;
    char answer[4096];
    struct {
        struct nlmsghdr head;
        struct rtmsg route;
        struct rtattr destination;
        uint32_t group;
        struct rtattr from;
        uint32_t source;
    } request;
    const struct nlmsghdr *head = (const void *)answer;
    const struct rtattr *attribute;
    ssize_t left;
    if (s < 0)
        MUST(s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    memset(&request, 0, sizeof request);
    request.head.nlmsg_len = sizeof request;
    request.head.nlmsg_type = RTM_GETROUTE;
    request.head.nlmsg_flags = NLM_F_REQUEST;
    request.route.rtm_family = RTNL_FAMILY_IPMR;
    request.route.rtm_src_len = request.route.rtm_dst_len = 32;
    request.destination = (struct rtattr){8, RTA_DST};
    request.group = htonl(GROUP);
    request.from = (struct rtattr){8, RTA_SRC};
    request.source = htonl(SOURCE + flow);
    MUST((int)send(s, &request, sizeof request, 0));
    left = recv(s, answer, sizeof answer, 0);
    if (left < (ssize_t)sizeof *head || head->nlmsg_type != RTM_NEWROUTE)
        return -1;
    left = (ssize_t)RTM_PAYLOAD(head);
    for (attribute = RTM_RTA((struct rtmsg *)NLMSG_DATA(head)); RTA_OK(attribute, left);
         attribute = RTA_NEXT(attribute, left))
        if (attribute->rta_type == RTA_MULTIPATH)
            return (int)(RTA_PAYLOAD(attribute) / sizeof(struct rtnexthop));
    return 0;
}

/* The call has done its work by the time it returns. */
static void must_have(int oifs)
{
    unsigned n;
    for (n = 0; n < count; n += count / 16)
        if (oifs_of(n) != oifs) {
            fprintf(stderr, "kernel: flow %u has %d oifs, not %d\n", n, oifs_of(n), oifs);
            exit(1);
        }
}

enum { JOIN, LEAVE, LAST_LEAVE, FIRST_JOIN, STATISTICS, WITHDRAW, STEPS };
static const char *const NAMES[STEPS] = {
    [JOIN] = "(*,G) join over MFEs, ns each",
    [LEAVE] = "(*,G) leave over MFEs, ns each",
    [LAST_LEAVE] = "(*,G) last leave over MFEs, ns each",
    [FIRST_JOIN] = "(*,G) first join over MFEs, ns each",
    [STATISTICS] = "statistics of all, ns each",
    [WITHDRAW] = "release of the iif, ns each",
};
/* The oifs after each step; -1: there are no entries. */
static const int AFTER[STEPS] = {2, 1, 0, 1, 1, -1};

static void bare_step(int step)
{
    if (step == STATISTICS)
        bare_statistics();
    else if (step == WITHDRAW)
        bare_withdraw();
    else
        bare_set((unsigned)AFTER[step]);
}

static void mgm_step(int step)
{
    switch (step) {
    case JOIN:
    case LEAVE:
        mgm_member(step == JOIN, here.out[1]);
        break;
    case FIRST_JOIN:
    case LAST_LEAVE:
        mgm_member(step == FIRST_JOIN, here.out[0]);
        break;
    case STATISTICS:
        mgm_statistics();
        break;
    default:
        mgm_release();
    }
}

void tables(unsigned rounds)
{
    int home = enter("ref"), step;
    unsigned round, n;
    reference = mroute(find_interfaces());
    leave_to(home);
    mgm_start();
    for (n = 1; n < here.outs; n++)
        mgm_member(FALSE, here.out[n]);
    for (round = 0; round < rounds; round++) {
        struct outcome filled = traffic(WINDOW);
        double before = slab();
        int64_t begin = now();
        free(filled.latency);
        if (filled.delivered != count) {
            fprintf(stderr, "kernel: only %u of %u flows came\n", filled.delivered, count);
            exit(1);
        }
        bare_set(1);
        report("kernel: new entry ns", "bare", (double)(now() - begin) / count);
        if (count >= 100000) /* fewer drown in what else the kernel does */
            report("kernel memory: bytes per MFC", "bare", (slab() - before) / count);
        for (step = 0; step < STEPS; step++) {
            int turn;
            for (turn = 0; turn < 2; turn++) {
                bool bare = (turn + round) % 2 != 0;
                begin = now();
                if (bare)
                    bare_step(step);
                else
                    mgm_step(step);
                report(NAMES[step], bare ? "bare" : "mgm", (double)(now() - begin) / count);
            }
            must_have(AFTER[step]);
        }
        mgm_take();
    }
}
