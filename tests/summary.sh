#!/bin/sh
# Adds up the logs of a "make check". usage: summary.sh BUILD-FOLDER EXIT-STATUS
# A Check program reports "NN%: Checks: C, Failures: F, Errors: E"; other tests one line for each case,
# "PASS: name", "FAIL: name" or "SKIP: name: why". A test without such lines counts as one.
build=$1
status=$2
passed=0 failed=0 skipped=0
for trs in $(find "$build" -name '*.trs' | sort); do
    log=${trs%.trs}.log
    name=$(basename "$log" .log)
    result=$(sed -n 's/^:test-result: *//p' "$trs")
    counts=$(awk '
        /^[0-9]+%: Checks: / { gsub(",", ""); ok += $3 - $5 - $7; bad += $5 + $7; any = 1 }
        /^PASS: / { ok++; any = 1 }
        /^FAIL: / { bad++; any = 1 }
        /^SKIP: / { skip++ }
        END { print ok + 0, bad + 0, skip + 0, any + 0 }' "$log")
    set -- $counts
    if [ "$4" -eq 0 ]; then # no case of its own: the program is the case
        case $result in
        PASS) set -- 1 "$2" "$3" ;;
        SKIP) [ "$3" -eq 0 ] && set -- 0 0 1 ;;
        *) set -- 0 1 "$3" ;;
        esac
    elif [ "$result" != PASS ] && [ "$2" -eq 0 ]; then
        set -- "$1" 1 "$3" # died after its cases
    fi
    passed=$((passed + $1))
    failed=$((failed + $2))
    skipped=$((skipped + $3))
    grep -h '^SKIP: ' "$log"
    if [ "$2" -gt 0 ]; then
        echo "--- $name"
        tail -40 "$log"
    else
        echo "ok   $name ($1)"
    fi
done
if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
    echo "make check ended with status $status:"
    tail -40 "$build/check.log"
    failed=1
fi
if [ "$passed" -eq 0 ]; then
    failed=$((failed + 1))
fi
if [ "$skipped" -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ]
