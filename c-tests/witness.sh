#!/bin/sh
# Holds abi.c's numbers against mingw-w64's headers, on 64 and on 32 bits. Needs Debian's packages
# gcc-mingw-w64-x86-64 and gcc-mingw-w64-i686; not part of `make test`.
set -eu
cd "$(dirname "$0")"
passed=0 failed=0
for compiler in x86_64-w64-mingw32-gcc i686-w64-mingw32-gcc; do
    # Without -I: <mgm.h> is mingw's own.
    if $compiler -std=c11 -Wall -DWITNESS -fsyntax-only abi.c; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $compiler"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
