/* What startup.c (IGMP, and the process) and startup_protocol.c (a routing protocol in a shared
 * object) share. */
#ifndef STARTUP_H
#define STARTUP_H

#include "mgm.h"

#define G1 "239.1.1.1"
#define G2 "239.1.1.2"
#define G3 "232.1.1.3"
#define S3 "192.0.2.33"

/* The transcript. Every call goes through `calls` and `returned`, every callback through `hears`
 * and `done`; what comes unexpectedly ends the process with status 1. */
typedef struct transcript {
    void (*calls)(const char *who, const char *format, ...);
    void (*returned)(DWORD code, DWORD expected);
    void (*hears)(const char *who, const char *format, ...);
    void (*done)(void);
    void (*note)(const char *format, ...);
    void (*expect)(int holds, const char *what);
} transcript;

/* What the shared object exports, as "startup_protocol_table". */
typedef struct startup_protocol {
    void (*start)(const transcript *, DWORD interface_index);     /* registers and takes */
    void (*enumerate)(void);
    void (*stop)(void);                                          /* releases and deregisters */
} startup_protocol;

#endif
