#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs every unit-test program below $O/tests and gives one TAP line for each of their tests.

cd "$(dirname "$0")/../.." || exit 1
O=${O:-build}
count=0

# What a program printed besides its results, as comments.
explain() { sed 's/^/#   /' "$1"; }

# cmocka's TAP has a plan and numbers of its own, which are left out; its comments explain a failure.
fold() {
    local name=$1 line
    while IFS= read -r line; do
        case $line in
        'ok '* | 'not ok '*)
            count=$((count + 1))
            local rest=${line#*ok } status=${line%%ok *}ok
            echo "$status $count - $name: ${rest#* - }"
            ;;
        'TAP version'* | [0-9]*..[0-9]* | '# ok'* | '# not ok'* | '#   total'*) ;;
        *) echo "# $line" ;;
        esac
    done
}

output=$(mktemp)
trap 'rm -f "$output"' EXIT
for program in "$O"/tests/test_*; do
    case $program in *.d | *'*') continue ;; esac
    name=${program##*/test_}
    before=$count
    CMOCKA_MESSAGE_OUTPUT=TAP timeout 300 "$program" >"$output" 2>&1
    code=$?
    fold "$name" <"$output"
    # A crash ends the program without a result for the test that it was in; a failed test makes it exit with the number.
    if [ $code -gt 100 ] || [ $count -eq $before ] || { [ $code -ne 0 ] && ! grep -q '^not ok' "$output"; }; then
        count=$((count + 1))
        echo "not ok $count - $name: ended with $code"
        explain "$output"
    fi
done
[ $count -gt 0 ] || echo "# no unit tests below $O/tests: run make tests-built"
echo "1..$count"
