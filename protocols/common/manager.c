#include "manager.h"
#include "log.h"
#include "loop.h"
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECONNECT_MS = 1000, RETAKE_MS = 5000 };

typedef struct place {
    struct place *next;
    iface *on;
    DWORD index;       /* of the interface as it was taken; 0: it is not taken */
    bool complained;   /* that it could not be taken has been logged */
} place;

static client *clients;
static bool remote;     /* the group manager is another process */
static timer reconnect, retake;

bool manager_environment(void)
{
    remote = getenv("MGM_HOST") != NULL;
    if (!remote && getenv("MGM_FORWARDER") == NULL)
        setenv("MGM_FORWARDER", "kernel", 1);
    if (getenv("MGM_LOG") == NULL)
        setenv("MGM_LOG", log_level >= LEVEL_DEBUG ? "debug" : log_level >= LEVEL_WARN ? "warn" : "error", 1);
    return remote;
}

const char *code_text(DWORD code)
{
    switch (code) {
    case NO_ERROR: return "NO_ERROR";
    case ERROR_NOT_ENOUGH_MEMORY: return "ERROR_NOT_ENOUGH_MEMORY";
    case ERROR_INVALID_PARAMETER: return "ERROR_INVALID_PARAMETER";
    case ERROR_INSUFFICIENT_BUFFER: return "ERROR_INSUFFICIENT_BUFFER";
    case ERROR_ALREADY_EXISTS: return "ERROR_ALREADY_EXISTS";
    case ERROR_MORE_DATA: return "ERROR_MORE_DATA";
    case ERROR_NO_MORE_ITEMS: return "ERROR_NO_MORE_ITEMS";
    case ERROR_CAN_NOT_COMPLETE: return "ERROR_CAN_NOT_COMPLETE";
    case ERROR_NOT_FOUND: return "ERROR_NOT_FOUND";
    default: return "another code";
    }
}

/* ---- interfaces ---------------------------------------------------------------------------------- */

static place *use_of(const client *c, const iface *i)
{
    place *u = c->uses;
    while (u != NULL && u->on != i)
        u = u->next;
    return u;
}

bool client_has(const client *c, const iface *i)
{
    const place *u = use_of(c, i);
    return u != NULL && u->index != 0;
}

static void take(client *c, place *u)
{
    DWORD code;
    if (c->handle == NULL || u->index != 0 || u->on->index == 0)
        return;
    code = MgmTakeInterfaceOwnership(c->handle, u->on->index, 0);
    if (code != NO_ERROR) {
        if (!u->complained)
            log_warn("%s: cannot have %s (%s): trying again every %d s", c->name, u->on->name, code_text(code),
                     RETAKE_MS / 1000);
        u->complained = true;
        if (!retake.set)
            timer_set(&retake, RETAKE_MS);
        return;
    }
    u->index = u->on->index;
    u->complained = false;
    log_info("%s: is on %s", c->name, u->on->name);
    if (c->taken != NULL)
        c->taken(u->on);
}

static void leave(client *c, place *u)
{
    DWORD index = u->index;
    if (index == 0)
        return;
    u->index = 0;
    if (c->left != NULL)
        c->left(u->on);
    if (c->handle != NULL)
        MgmReleaseInterfaceOwnership(c->handle, index, 0);
}

static void take_all(void *with)
{
    (void)with;
    for (client *c = clients; c != NULL; c = c->next)
        for (place *u = c->uses; u != NULL; u = u->next)
            take(c, u);
}

static void came(iface *i)
{
    for (client *c = clients; c != NULL; c = c->next) {
        place *u = use_of(c, i);
        if (u != NULL)
            take(c, u);
    }
}

static void went(iface *i)
{
    for (client *c = clients; c != NULL; c = c->next) {
        place *u = use_of(c, i);
        if (u != NULL)
            leave(c, u);
    }
}

static iface_listener listener = {.came = came, .went = went};

void client_use(client *c, iface *i)
{
    place *u, **end = &c->uses;
    if (use_of(c, i) != NULL)
        return;
    if ((u = calloc(1, sizeof *u)) == NULL)
        die("out of memory");
    u->on = i;
    while (*end != NULL)
        end = &(*end)->next;
    *end = u;
    take(c, u);
}

void client_do_without(client *c, const iface *i)
{
    place **u = &c->uses, *gone;
    while (*u != NULL && (*u)->on != i)
        u = &(*u)->next;
    if ((gone = *u) == NULL)
        return;
    *u = gone->next;
    leave(c, gone);
    log_info("%s: does without %s", c->name, i->name);
    free(gone);
}

void client_retake(client *c, const iface *i)
{
    place *u = use_of(c, i);
    if (u == NULL || u->index == 0)
        return;
    leave(c, u);
    take(c, u);
}

/* ---- registration ---------------------------------------------------------------------------------- */

/* The host has gone, for all clients of this process at once: they share the connection. */
static void host_has_gone(void)
{
    log_warn("the group manager has gone; trying again every second");
    for (client *c = clients; c != NULL; c = c->next) {
        if (c->handle == NULL)
            continue;
        loop_unwatch(c->fd);
        c->handle = NULL;
    }
    for (client *c = clients; c != NULL; c = c->next) {
        if (c->losing != NULL)
            c->losing();
        for (place *u = c->uses; u != NULL; u = u->next)
            leave(c, u);
        if (c->lost != NULL)
            c->lost();
    }
    timer_set(&reconnect, RECONNECT_MS);
}

static void callbacks_wait(void *with, short events)
{
    client *c = with;
    if ((events & (POLLHUP | POLLERR | POLLNVAL)) != 0)
        host_has_gone();
    else
        MgmHostDispatch(c->handle); /* where the host has gone meanwhile the next poll says so */
}

static bool registered(client *c)
{
    DWORD code = MgmRegisterMProtocol(&c->callbacks, c->protocol, c->component, &c->handle);
    if (code == NO_ERROR)
        code = MgmHostGetClientFd(c->handle, &c->fd);
    if (code != NO_ERROR) {
        static log_limit limit;
        c->handle = NULL;
        if (!remote)
            die("%s: the group manager did not start, or has such a client already (%s)", c->name, code_text(code));
        log_limited(&limit, LEVEL_WARN, "%s: not registered (%s); trying again every second", c->name, code_text(code));
        return false;
    }
    loop_watch(c->fd, callbacks_wait, c);
    log_info("%s: registered", c->name);
    if (c->registered != NULL)
        c->registered();
    for (place *u = c->uses; u != NULL; u = u->next)
        take(c, u);
    return true;
}

/* Without the socket the library would log an error each time. */
static bool host_is_there(void)
{
    const char *path = getenv("MGM_HOST");
    return path == NULL || access(path, F_OK) == 0;
}

static void connect_again(void *with)
{
    (void)with;
    for (client *c = clients; c != NULL; c = c->next)
        if (c->handle == NULL && (!host_is_there() || !registered(c))) {
            timer_set(&reconnect, RECONNECT_MS);
            return;
        }
}

void client_start(client *c)
{
    if (clients == NULL) {
        iface_listen(&listener);
        timer_init(&reconnect, connect_again, NULL);
        timer_init(&retake, take_all, NULL);
        remote = getenv("MGM_HOST") != NULL;
    }
    c->callbacks.dwCallbackFlags |= MGM_DISPATCHED;
    client **end = &clients;
    while (*end != NULL)
        end = &(*end)->next;
    *end = c;
    if (!host_is_there())
        log_warn("%s: no group manager at %s yet; trying again every second", c->name, getenv("MGM_HOST"));
    else if (registered(c))
        return;
    timer_set(&reconnect, RECONNECT_MS);
}

void client_stop(client *c)
{
    if (c->handle == NULL)
        return;
    loop_unwatch(c->fd);
    for (place *u = c->uses; u != NULL; u = u->next)
        if (u->index != 0) {
            MgmReleaseInterfaceOwnership(c->handle, u->index, 0);
            u->index = 0;
        }
    MgmDeRegisterMProtocol(c->handle);
    c->handle = NULL;
}

/* ---- memberships ------------------------------------------------------------------------------------ */

static DWORD change(bool add, client *c, DWORD source, DWORD group, DWORD index, DWORD flags)
{
    DWORD code;
    if (c->handle == NULL)
        return ERROR_CAN_NOT_COMPLETE;
    code = (add ? MgmAddGroupMembershipEntry : MgmDeleteGroupMembershipEntry)(
        c->handle, source, source ? ALL_ONES : 0, group, group ? ALL_ONES : 0, index, 0, flags);
    if (code != NO_ERROR && code != ERROR_CAN_NOT_COMPLETE) {
        static log_limit limit;
        log_limited(&limit, LEVEL_WARN, "%s: %s %s on interface %u: %s", c->name, add ? "adding" : "deleting",
                    entry_text(source, group), (unsigned)index, code_text(code));
    }
    return code;
}

DWORD client_add(client *c, DWORD source, DWORD group, DWORD index, DWORD flags)
{
    return change(true, c, source, group, index, flags);
}

DWORD client_delete(client *c, DWORD source, DWORD group, DWORD index, DWORD flags)
{
    return change(false, c, source, group, index, flags);
}
