/* The host in another process. A program that is linked with this file, and with --wrap for the
 * functions at its end, runs as it is, but these functions are done by a child process that serves
 * this one (MGM_HOST). The functions of MGM_HOST_CONFIG are called here all the same: the child asks
 * for each call of one. `matrix.sh` builds the unit tests so. Built with gcc as gnu11. */
#include "mgm_host.h"
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { START, STOP, RECEIVE, ROUTE_CHANGED, INTERFACE_DOWN, ROUTE, TRANSMIT, LOG_LINE, CLOCK };

/* A request, and its reply: what is sent ends with the octets that are in use. */
typedef struct {
    DWORD what, first, second, code, size;
    ULONGLONG clock;
    MGM_ROUTE route;
    MGM_HOST_CONFIG config;
    BYTE octets[66000];
} message;

static char path[64];                                /* MGM_HOST */
static struct sockaddr_un calls, functions;          /* who does the functions below, and the config's */
static const struct sockaddr_un *other_side = &calls;
static MGM_HOST_CONFIG config;                       /* here: the last start's */

/* ---- messages ------------------------------------------------------------------------------------ */

static size_t length(const message *m) { return offsetof(message, octets) + m->size; }

static int receive(int fd, message *m) { return recv(fd, m, sizeof *m, 0) >= (ssize_t)offsetof(message, octets); }

__attribute__((noreturn)) static void fail(const char *what)
{
    perror(what);
    _exit(3);
}

static int listening(struct sockaddr_un *at, const char *name)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    at->sun_family = AF_UNIX;
    snprintf(at->sun_path + 1, sizeof at->sun_path - 1, "mgm-apart-%d-%s", (int)getpid(), name); /* abstract */
    if (fd < 0 || bind(fd, (struct sockaddr *)at, sizeof *at) != 0 || listen(fd, 64) != 0)
        fail("apart: socket");
    return fd;
}

/* Asks the other side, over a connection of this thread's own. */
static void ask(message *m)
{
    static __thread int fd = -1;
    if (fd < 0) {
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *)other_side, sizeof *other_side) != 0)
            fail("apart: connect");
    }
    if (send(fd, m, length(m), MSG_NOSIGNAL) < 0 || !receive(fd, m))
        fail("apart: the other process has gone");
}

static message *new_message(DWORD what)
{
    message *m = (message *)calloc(1, sizeof *m);
    if (m == NULL)
        fail("apart: memory");
    m->what = what;
    return m;
}

/* The reply's code; the message ends. */
static DWORD asked(message *m)
{
    DWORD code;
    ask(m);
    code = m->code;
    free(m);
    return code;
}

static void fill(message *m, const void *octets, DWORD size)
{
    m->size = size <= sizeof m->octets ? size : (DWORD)sizeof m->octets;
    memcpy(m->octets, octets, m->size);
}

/* ---- in the child: the functions of the configuration --------------------------------------------- */

static DWORD route_there(PVOID context, DWORD source, PMGM_ROUTE route)
{
    message *m = new_message(ROUTE);
    DWORD code;
    (void)context;
    m->first = source;
    m->route = *route;
    ask(m);
    *route = m->route;
    code = m->code;
    free(m);
    return code;
}

static void transmit_there(PVOID context, DWORD index, DWORD next_hop, const BYTE *packet, DWORD size)
{
    message *m = new_message(TRANSMIT);
    (void)context;
    m->first = index;
    m->second = next_hop;
    fill(m, packet, size);
    asked(m);
}

static void log_there(PVOID context, DWORD level, const char *line)
{
    message *m = new_message(LOG_LINE);
    (void)context;
    m->first = level;
    fill(m, line, (DWORD)strlen(line));
    asked(m);
}

static ULONGLONG clock_there(PVOID context)
{
    message *m = new_message(CLOCK);
    ULONGLONG now;
    (void)context;
    ask(m);
    now = m->clock;
    free(m);
    return now;
}

/* ---- doing what was asked ------------------------------------------------------------------------- */

DWORD __real_MgmHostStart(const MGM_HOST_CONFIG *);
DWORD __real_MgmHostStop(void);
DWORD __real_MgmHostReceive(DWORD, DWORD, const BYTE *, DWORD);
DWORD __real_MgmHostRouteChanged(DWORD, DWORD);
DWORD __real_MgmHostInterfaceDown(DWORD, DWORD);

static DWORD start_here(MGM_HOST_CONFIG wanted)
{
    wanted.pszServePath = path;
    wanted.pfnRoute = wanted.pfnRoute ? route_there : NULL;
    wanted.pfnTransmit = wanted.pfnTransmit ? transmit_there : NULL;
    wanted.pfnLog = wanted.pfnLog ? log_there : NULL;
    wanted.pfnClock = wanted.pfnClock ? clock_there : NULL;
    return __real_MgmHostStart(&wanted);
}

static void perform(message *m)
{
    DWORD size = m->size;
    m->size = 0;
    switch (m->what) {
    case START: m->code = start_here(m->config); break;
    case STOP: m->code = __real_MgmHostStop(); break;
    case RECEIVE: m->code = __real_MgmHostReceive(m->first, m->second, m->octets, size); break;
    case ROUTE_CHANGED: m->code = __real_MgmHostRouteChanged(m->first, m->second); break;
    case INTERFACE_DOWN: m->code = __real_MgmHostInterfaceDown(m->first, m->second); break;
    case ROUTE: m->code = config.pfnRoute(config.pvContext, m->first, &m->route); break;
    case TRANSMIT: config.pfnTransmit(config.pvContext, m->first, m->second, m->octets, size); break;
    case LOG_LINE:
        m->octets[size < sizeof m->octets ? size : size - 1] = 0;
        config.pfnLog(config.pvContext, m->first, (const char *)m->octets);
        break;
    case CLOCK: m->clock = config.pfnClock(config.pvContext); break;
    default: break;
    }
}

static void *serve_one(void *connection)
{
    int fd = (int)(intptr_t)connection;
    message *m = new_message(0);
    while (receive(fd, m)) {
        perform(m);
        if (send(fd, m, length(m), MSG_NOSIGNAL) < 0)
            break;
    }
    free(m);
    close(fd);
    return NULL;
}

__attribute__((noreturn)) static void *serve(void *socket)
{
    for (;;) {
        pthread_t thread;
        int fd = accept4((int)(intptr_t)socket, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 || pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)fd) != 0)
            fail("apart: accept");
        pthread_detach(thread);
    }
}

/* ---- before main ------------------------------------------------------------------------------------ */

__attribute__((constructor)) static void begin(void)
{
    int for_calls = listening(&calls, "calls"), for_functions = listening(&functions, "functions");
    pid_t child;
    pthread_t thread;
    snprintf(path, sizeof path, "/tmp/mgm-apart-%d", (int)getpid());
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        other_side = &functions;
        serve((void *)(intptr_t)for_calls);
    }
    close(for_calls);
    setenv("MGM_HOST", path, 1);
    if (child < 0 || pthread_create(&thread, NULL, serve, (void *)(intptr_t)for_functions) != 0)
        fail("apart: a process");
    pthread_detach(thread);
}

__attribute__((destructor)) static void end(void) { unlink(path); }

/* ---- what the program calls --------------------------------------------------------------------------- */

DWORD __wrap_MgmHostStart(const MGM_HOST_CONFIG *wanted)
{
    message *m = new_message(START);
    MGM_HOST_CONFIG before = config;
    DWORD code;
    m->config = config = *wanted;
    code = asked(m);
    if (code != NO_ERROR)
        config = before;
    return code;
}

DWORD __wrap_MgmHostStop(void) { return asked(new_message(STOP)); }

DWORD __wrap_MgmHostReceive(DWORD index, DWORD next_hop, const BYTE *packet, DWORD size)
{
    message *m = new_message(RECEIVE);
    m->first = index;
    m->second = next_hop;
    fill(m, packet, size);
    return asked(m);
}

DWORD __wrap_MgmHostRouteChanged(DWORD network, DWORD mask)
{
    message *m = new_message(ROUTE_CHANGED);
    m->first = network;
    m->second = mask;
    return asked(m);
}

DWORD __wrap_MgmHostInterfaceDown(DWORD index, DWORD next_hop)
{
    message *m = new_message(INTERFACE_DOWN);
    m->first = index;
    m->second = next_hop;
    return asked(m);
}
