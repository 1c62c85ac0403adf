/*
 * windows.h: as much of it as the sources of a multicast routing protocol need, on Linux.
 * A real windows.h (Wine's, mingw's) that stands earlier on the include path is used instead.
 */
#ifndef MGM_COMPAT_WINDOWS_H
#define MGM_COMPAT_WINDOWS_H

#include <mgm.h>
#include <string.h>

/* Where mgm.h found the base types defined by a real windows.h, the rest is there too. */
#if !defined(_WIN32) && !defined(_WINDEF_) && !defined(__WINE_WINDEF_H) && \
    !defined(WINPR_WTYPES_H)

#ifndef VOID
#define VOID void
#endif
typedef char CHAR, *PCHAR, *LPSTR;
typedef const char *LPCSTR, *PCSTR;
typedef uint8_t UCHAR, *PUCHAR, *LPBYTE, BOOLEAN;
typedef int16_t SHORT;
typedef uint16_t WORD, *PWORD;
typedef int32_t LONG, *PLONG;
typedef int64_t LONGLONG;
typedef uint64_t DWORD64;
typedef uintptr_t ULONG_PTR, DWORD_PTR;
typedef size_t SIZE_T;
typedef void *LPVOID;
typedef const void *LPCVOID;
typedef DWORD *LPDWORD;
typedef BOOL *LPBOOL;

/* mgm.h and its callbacks have no calling convention of their own. */
#define WINAPI
#define APIENTRY
#define CALLBACK

#ifndef IN
#define IN
#define OUT
#define OPTIONAL
#endif

#define ERROR_SUCCESS NO_ERROR
#define INVALID_HANDLE_VALUE ((HANDLE)(intptr_t)-1)

#define ZeroMemory(destination, length) memset((destination), 0, (length))
#define FillMemory(destination, length, value) memset((destination), (value), (length))
#define CopyMemory(destination, source, length) memcpy((destination), (source), (length))
#define MoveMemory(destination, source, length) memmove((destination), (source), (length))
#define UNREFERENCED_PARAMETER(parameter) ((void)(parameter))

#ifndef FIELD_OFFSET
#include <stddef.h>
#define FIELD_OFFSET(type, field) ((LONG)offsetof(type, field))
#endif

#endif

#endif /* MGM_COMPAT_WINDOWS_H */
