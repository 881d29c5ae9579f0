#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The whole analyzer on hostile traces (tests/unit/test_corrupt.c makes them): each command ends in time, within its
# memory, with an exit code that it documents, and says what is wrong where something is.

cd "$(dirname "$0")/../.." || exit 1
O=${O:-build}
traces=$(mktemp -d)
trap 'rm -rf "$traces"' EXIT
count=0

ok() { # STATUS NAME
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then echo "ok $count - $2"; else echo "not ok $count - $2"; fi
}

"$O/tests/test_corrupt" --write "$traces" || exit 1

# What a sanitizer finds must not look like a verdict. It reserves terabytes of addresses, so there is no limit to set under one.
export ASAN_OPTIONS=exitcode=99 UBSAN_OPTIONS=exitcode=99
limit() { [ -n "$SAN" ] || ulimit -v 1000000; }

run() { # COMMAND... FILE: its exit code; output in $traces/out and $traces/err
    (limit; exec timeout 60 "$O/perfanalyze" "$@" >"$traces/out" 2>"$traces/err")
}

# Every file with every command.
for command in report 'report --json' dump info; do
    for kind in sound cut empty flip forged nonsense zstd text newer bomb; do
        wrong=0
        for trace in "$traces/$kind"-*.zst; do
            # shellcheck disable=SC2086
            run $command "$trace"
            code=$?
            case $code in
            0 | 1) [ -s "$traces/out" ] || case $command-$kind in dump-cut) ;; *) code=silent ;; esac ;;
            2) [ -s "$traces/err" ] || code=silent ;;
            esac
            case $code in 0 | 1 | 2) continue ;; esac
            wrong=1
            echo "# perfanalyze $command ${trace##*/}: $code: $(tail -n 3 "$traces/err" | tr '\n' ' ')"
            break
        done
        ok $wrong "$command: $kind"
    done
done

refuses() { # FILE WORDS
    run "$1"
    [ $? -eq 2 ] && [ ! -s "$traces/out" ] && [ "$(wc -l <"$traces/err")" -eq 1 ] && grep -qF -- "$2" "$traces/err"
    ok $? "refused: $2"
}
refuses "$traces/empty-000.zst" 'the file is empty'
refuses "$traces/text-000.zst" 'it is not a perfshim trace'
refuses "$traces/zstd-000.zst" 'a zstd file, but not a perfshim trace'
refuses "$traces/newer-000.zst" 'is newer than this perfanalyze understands (1.x)'
refuses "$traces" 'directory'
refuses "$traces/none" 'No such file'
refuses --no-such-option 'unknown option'

# Damage is named, and --strict makes it fail.
run info "$traces/cut-020.zst"
[ $? -eq 0 ] && grep -q 'bytes left out, the first at offset' "$traces/out" && grep -q 'offset' "$traces/err"
ok $? 'info names what was left out'
run info --strict "$traces/cut-020.zst"
[ $? -eq 3 ]
ok $? '--strict fails on a truncated trace'
run info --strict "$traces/sound-000.zst"
ok $? '--strict takes a sound one'
run report --json "$traces/cut-020.zst"
grep -Eq '"truncated_bytes":[[:space:]]*[1-9]' "$traces/out"
ok $? 'the report counts truncated bytes'

echo "1..$count"
