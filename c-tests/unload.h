/* What unload.c and the client that it loads and unloads say to each other. */
#ifndef UNLOAD_H
#define UNLOAD_H

#include "mgm.h"

/* In the program's memory, which stays when the client's is gone. */
typedef struct {
    int calls;  /* callbacks that began */
    int inside; /* callbacks that are running */
    int hold;   /* a callback stays inside for as long as this is set */
} unload_shared;

/* The client's one exported function, `unload_register`: registers it with its own callbacks. */
typedef DWORD (*unload_register_fn)(unload_shared *shared, DWORD component, HANDLE *handle);

#endif
