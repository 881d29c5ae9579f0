#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# perfanalyze says the same, byte by byte, with any number of threads: on large traces (tests/unit/test_scale.c), on hostile
# ones (tests/unit/test_corrupt.c), and on a server's.

cd "$(dirname "$0")/../.." || exit 1
O=${O:-build}
traces=$(mktemp -d)
trap 'rm -rf "$traces"' EXIT
count=0

ok() { # STATUS NAME
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then echo "ok $count - $2"; else echo "not ok $count - $2"; fi
}

export ASAN_OPTIONS=exitcode=99 UBSAN_OPTIONS=exitcode=99 TSAN_OPTIONS=exitcode=99

say() { # THREADS FILE ARGUMENT...: all that perfanalyze says, and its exit code
    PERFANALYZE_THREADS=$1 timeout 300 "$O/perfanalyze" report "${@:3}" "$2" 2>&1
    echo "exit code $?"
}

same() { # FILE
    local one some
    for form in --json --strict; do
        one=$(say 1 "$1" "$form")
        case $one in *'exit code 99') echo "# $1: $one"; return 1 ;; esac
        for threads in 2 3 9; do
            some=$(say "$threads" "$1" "$form")
            [ "$one" = "$some" ] && continue
            echo "# $1 with $threads threads:"
            diff <(echo "$one") <(echo "$some") | head -n 5 | sed 's/^/# /'
            return 1
        done
    done
}

"$O/tests/test_scale" --write "$traces/narrow.zst" 600000 1 3000 || exit 1
"$O/tests/test_scale" --write "$traces/wide.zst" 600000 7 50000 || exit 1
same "$traces/narrow.zst"
ok $? 'one busy thread'
same "$traces/wide.zst"
ok $? 'seven busy threads'

PERFSHIM_OUT=$traces/real.zst LD_PRELOAD=$(realpath "$O/libperfshim.so") "$O/tests/programs/alloc_mix" >"$traces/said" 2>&1
"$O/perfanalyze" info "$traces/real.zst" >"$traces/info" # waits for the recorder
[ -s "$traces/real.zst" ] && same "$traces/real.zst"
ok $? 'a recorded program'

"$O/tests/test_corrupt" --write "$traces" || exit 1
for kind in sound cut flip forged nonsense bomb; do
    wrong=0
    n=0
    for trace in "$traces/$kind"-*.zst; do
        n=$((n + 1))
        [ $((n % 8)) -eq 1 ] || continue # each takes eight runs
        same "$trace" || wrong=1
    done
    ok $wrong "hostile: $kind"
done

echo "1..$count"
