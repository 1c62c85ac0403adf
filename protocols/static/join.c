#include "join.h"
#include "../common/log.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct joined {
    unsigned index;   /* of the interface as it was joined on; 0: it is not joined */
    size_t socket;    /* which one has it */
} joined;

static wanted_flow *wanted;
static joined *state;      /* of each of them */
static size_t wanted_count;

/* One socket joins net.ipv4.igmp_max_memberships groups and net.ipv4.igmp_max_msf sources of one, so there are many. In one socket
 * a group is joined either for any source or for some. No port is bound: no packet is read. */
static struct socket_of_ours {
    int fd;
    bool full, any_source;
} *sockets;
static size_t socket_count;

/* Joins or leaves; 0 or the error. */
static int change(int fd, const wanted_flow *w, unsigned index, bool join)
{
    struct sockaddr_in group = {.sin_family = AF_INET, .sin_addr.s_addr = w->group};
    struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = w->source};
    int done;
    if (w->source == 0) {
        struct group_req request = {.gr_interface = index};
        memcpy(&request.gr_group, &group, sizeof group);
        done = setsockopt(fd, IPPROTO_IP, join ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP, &request, sizeof request);
    } else {
        struct group_source_req request = {.gsr_interface = index};
        memcpy(&request.gsr_group, &group, sizeof group);
        memcpy(&request.gsr_source, &source, sizeof source);
        done = setsockopt(fd, IPPROTO_IP, join ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP, &request, sizeof request);
    }
    return done == 0 ? 0 : errno;
}

static bool add_socket(bool any_source)
{
    struct socket_of_ours *more = realloc(sockets, (socket_count + 1) * sizeof *more);
    if (more == NULL)
        die("out of memory");
    sockets = more;
    sockets[socket_count].full = false;
    sockets[socket_count].any_source = any_source;
    if ((sockets[socket_count].fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0)
        return false;
    socket_count++;
    return true;
}

static void join(size_t n)
{
    const wanted_flow *w = &wanted[n];
    static log_limit limit;
    bool any_source = w->source == 0;
    int error = ENOBUFS;
    if (state[n].index != 0 || w->on->index == 0)
        return;
    for (size_t s = 0; s <= socket_count; s++) {
        bool fresh = s == socket_count;
        if (fresh && !add_socket(any_source)) {
            error = errno;
            break;
        }
        if (sockets[s].full || sockets[s].any_source != any_source)
            continue;
        if ((error = change(sockets[s].fd, w, w->on->index, true)) == 0) {
            state[n].index = w->on->index;
            state[n].socket = s;
            log_debug("joined %s on %s", entry_text(w->source, w->group), w->on->name);
            return;
        }
        if (fresh || error != ENOBUFS)
            break;
        sockets[s].full = true;
    }
    log_limited(&limit, LEVEL_WARN, "joining %s on %s: %s", entry_text(w->source, w->group), w->on->name, strerror(error));
}

static void leave(const wanted_flow *w, joined *j)
{
    struct socket_of_ours *s = &sockets[j->socket];
    if (j->index == 0)
        return;
    /* With the device gone the kernel forgets a source only together with its group. */
    if (change(s->fd, w, j->index, false) == ENODEV) {
        wanted_flow whole = {w->on, 0, w->group};
        change(s->fd, &whole, j->index, false);
    }
    s->full = false;
    j->index = 0;
    log_debug("left %s on %s", entry_text(w->source, w->group), w->on->name);
}

static void came(iface *i)
{
    for (size_t n = 0; n < wanted_count; n++)
        if (wanted[n].on == i)
            join(n);
}

static void went(iface *i)
{
    for (size_t n = 0; n < wanted_count; n++)
        if (wanted[n].on == i)
            leave(&wanted[n], &state[n]);
}

static iface_listener listener = {.came = came, .went = went};

void join_all(wanted_flow *list, size_t count)
{
    joined *now = calloc(count + 1, sizeof *now);
    static bool listening;
    size_t old = 0;
    if (now == NULL)
        die("out of memory");
    for (size_t n = 0; n < count; n++) {
        for (; old < wanted_count && wanted_order(&wanted[old], &list[n]) < 0; old++)
            leave(&wanted[old], &state[old]);
        if (old < wanted_count && wanted_order(&wanted[old], &list[n]) == 0)
            now[n] = state[old++];
    }
    for (; old < wanted_count; old++)
        leave(&wanted[old], &state[old]);
    free(wanted);
    free(state);
    wanted = list;
    state = now;
    wanted_count = count;
    for (size_t n = 0; n < count; n++)
        join(n);
    if (!listening)
        iface_listen(&listener);
    listening = true;
}
