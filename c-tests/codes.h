/* The names of mgm.h's return codes, for people reading a test's output. */
#ifndef CODES_H
#define CODES_H

#include "mgm.h"
#include <stdio.h>

static inline const char *code_name(DWORD code)
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
    default: return "a code that mgm.h does not document";
    }
}

#endif
