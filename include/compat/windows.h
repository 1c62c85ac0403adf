/*
 * windows.h: as much of it as the sources of a multicast routing protocol need, on Linux.
 * A real windows.h (Wine's, mingw's) that stands earlier on the include path is used instead.
 */
#ifndef MGM_COMPAT_WINDOWS_H
#define MGM_COMPAT_WINDOWS_H

#include <mgm.h>
#include <string.h>

/* Where mgm.h found the base types defined by a real windows.h, these are there too. */
#if !defined(_WIN32) && !defined(_WINDEF_) && !defined(__WINE_WINDEF_H) && \
    !defined(WINPR_WTYPES_H)

#include <stddef.h>
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

#endif

#ifndef VOID
#define VOID void
#endif

/* mgm.h and its callbacks have no calling convention of their own. */
#ifndef WINAPI
#define WINAPI
#endif
#ifndef APIENTRY
#define APIENTRY
#endif
#ifndef CALLBACK
#define CALLBACK
#endif

#ifndef IN
#define IN
#endif
#ifndef OUT
#define OUT
#endif
#ifndef OPTIONAL
#define OPTIONAL
#endif

#ifndef ERROR_SUCCESS
#define ERROR_SUCCESS NO_ERROR
#endif
#ifndef INVALID_HANDLE_VALUE
#define INVALID_HANDLE_VALUE ((HANDLE)(intptr_t)-1)
#endif

#ifndef ZeroMemory
#define ZeroMemory(destination, length) memset((destination), 0, (length))
#endif
#ifndef FillMemory
#define FillMemory(destination, length, value) memset((destination), (value), (length))
#endif
#ifndef CopyMemory
#define CopyMemory(destination, source, length) memcpy((destination), (source), (length))
#endif
#ifndef MoveMemory
#define MoveMemory(destination, source, length) memmove((destination), (source), (length))
#endif
#ifndef UNREFERENCED_PARAMETER
#define UNREFERENCED_PARAMETER(parameter) ((void)(parameter))
#endif
#ifndef FIELD_OFFSET
#define FIELD_OFFSET(type, field) ((LONG)offsetof(type, field))
#endif

#endif /* MGM_COMPAT_WINDOWS_H */
