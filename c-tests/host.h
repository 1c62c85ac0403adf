/* What the tests share that are hosts of their own: a configuration, addresses and packets, flags that
 * threads tell each other by, and standard error as text. */
#ifndef HOST_H
#define HOST_H

#include "check.h"
#include "mgm_host.h"
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define ALL_ONES 0xffffffffu

/* An address in network byte order. */
static inline DWORD ip4(int o1, int o2, int o3, int o4)
{
    BYTE octets[4];
    DWORD address;
    octets[0] = (BYTE)o1, octets[1] = (BYTE)o2, octets[2] = (BYTE)o3, octets[3] = (BYTE)o4;
    memcpy(&address, octets, sizeof address);
    return address;
}

/* The group that packets are for. */
static inline DWORD the_group(void) { return ip4(239, 1, 1, 1); }

/* The memory forwarder, and no log. */
static inline MGM_HOST_CONFIG plain_host(void)
{
    MGM_HOST_CONFIG config;
    memset(&config, 0, sizeof config);
    config.dwSize = (DWORD)sizeof config;
    config.dwLogLevel = MGM_LOG_OFF;
    return config;
}

/* A packet from 10.0.0.`last` comes in on interface 1. */
static inline DWORD packet_from(int last)
{
    BYTE octets[28] = {0x45, 0, 0, 28, 0, 0, 0, 0, 16, 17};
    DWORD source = ip4(10, 0, 0, last), group = the_group();
    memcpy(octets + 12, &source, 4);
    memcpy(octets + 16, &group, 4);
    return MgmHostReceive(1, 0, octets, sizeof octets);
}

/* pfnRoute: every source is a neighbour on interface 1. */
static inline void fill_route(DWORD source, PMGM_ROUTE route)
{
    memset(route, 0, sizeof *route);
    route->dwIfIndex = 1;
    route->dwUpStreamNbr = route->dwRouteNetwork = source;
    route->dwRouteMask = ALL_ONES;
}

/* ---- flags ------------------------------------------------------------------------------------ */

static pthread_mutex_t flags = PTHREAD_MUTEX_INITIALIZER;

static inline void set(int *flag, int value)
{
    pthread_mutex_lock(&flags);
    *flag = value;
    pthread_mutex_unlock(&flags);
}

static inline int get(const int *flag)
{
    int value;
    pthread_mutex_lock(&flags);
    value = *flag;
    pthread_mutex_unlock(&flags);
    return value;
}

static inline void await(const int *flag)
{
    while (!get(flag))
        usleep(1000);
}

/* Whether it is set within so many milliseconds. */
static inline int comes_within(const int *flag, int milliseconds)
{
    for (; milliseconds > 0 && !get(flag); milliseconds--)
        usleep(1000);
    return get(flag);
}

/* ---- standard error --------------------------------------------------------------------------- */

static FILE *errors;
static int standard_error;

static inline void keep_errors(void)
{
    errors = tmpfile();
    standard_error = dup(2);
    if (!CHECK(errors != NULL && standard_error >= 0 && dup2(fileno(errors), 2) == 2))
        exit(1);
}

/* What has come to it since, as long as there is room. Holds until the next call. */
static inline const char *kept_errors(void)
{
    static char text[65536];
    size_t length;
    dup2(standard_error, 2);
    close(standard_error);
    rewind(errors);
    length = fread(text, 1, sizeof text - 1, errors);
    text[length] = 0;
    fclose(errors);
    return text;
}

#endif
