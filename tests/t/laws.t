#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the shim's object files must hold to, whatever the code says: it never calls a hooked function, it exports the hook
# table and nothing else, and it brings no library into the host's search order but libc.
cd "$(dirname "$0")/../.." || exit 1
O=${O:-build}
hooks=$(awk '/^HOOK\(/ { sub(/^HOOK\(/, ""); sub(/,.*/, ""); print }' shim/hooks.def | sort)
pattern=$(echo "$hooks" | paste -sd'|')
n=0

check() { # check NAME OFFENDERS: passes if there are none
    n=$((n + 1))
    if [ -z "$2" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        sed 's/^/# /' <<<"$2"
    fi
}

calls=$(for object in "$O"/obj/shim/*.o; do
    objdump -r "$object" |
        awk -v file="$(basename "$object")" '/^RELOCATION/ { debug = /\.debug|\.eh_frame/ } !debug && NF == 3 { print file, $2, $3 }' |
        sed -E 's/[-+]0x[0-9a-f]+$//' | grep -E " ($pattern)$"
done)
check "no shim object refers to a hooked function" "$calls"

exported=$(nm -D --defined-only "$O/libperfshim.so" | awk '$2 != "A" { print $3 }' | sed 's/@.*//' | sort -u)
check "the exported names are those of hooks.def" "$(diff <(echo "$hooks") <(echo "$exported"))"

# A name with a default version is found by those who look for it without one.
visible=$(nm -D --defined-only "$O/libperfshim.so" | awk '$3 ~ /@@/ || ($3 !~ /@/ && $3 ~ /^(SSL|BIO|gnutls)_/) { print $3 }')
check "calls of TLS libraries are seen only by those who mean them" "$visible"

needed=$(readelf -d "$O/libperfshim.so" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -vE '^(libc\.so\.6|ld-linux-x86-64\.so\.2)$')
check "the library needs libc alone" "$needed"

tls=$(readelf -lW "$O/libperfshim.so" | while read -r type _ _ _ _ bytes _; do
    [ "$type" = TLS ] && [ $((bytes)) -gt 64 ] && echo "static TLS of $((bytes)) bytes"
done)
check "static TLS stays within 64 bytes" "$tls"

textrel=$(readelf -d "$O/libperfshim.so" | grep TEXTREL)
check "no text relocations" "$textrel"

for name in $hooks; do
    grep -qE "OP_$name\b|$name" <(cat shim/hook_*.c shim/*.S) || missing+="$name "
done
check "every row has a definition" "$missing"

dynamic=$(grep -lE 'dlopen|dlsym|dl_iterate_phdr' shim/*.c | grep -vE '^shim/(real|stack|launch|hook_code)\.c$')
check "only real.c, stack.c and launch.c talk to the dynamic linker, and hook_code.c passes it on" "$dynamic"
echo "1..$n"
