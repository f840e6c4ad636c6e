#!/bin/sh
# The command line of cpuu-inspect: exit status and first line of each case.
program=${CPUU_INSPECT:-$(pwd)/cpuu-inspect}
corpus=${srcdir:-.}/tests/fuzz/corpus
failed=0

# $1 = expected status, $2 = what the first line begins with, the rest = arguments
case_of()
{
    want=$1 line=$2
    shift 2
    out=$("$program" "$@" 2>&1 </dev/null)
    got=$?
    first=$(printf '%s\n' "$out" | head -n 1)
    case $first in
        "$line"*) ok=yes ;;
        *) ok=no ;;
    esac
    if [ "$got" = "$want" ] && [ $ok = yes ]; then
        echo "PASS: cpuu-inspect $*"
    else
        echo "FAIL: cpuu-inspect $*: status $got, $first"
        failed=1
    fi
}

case_of 0 'Usage: cpuu-inspect' --help
case_of 0 'cpuu-inspect ' --version
case_of 0 'entryid ' --list-types
case_of 2 'cpuu-inspect: a command is needed'
case_of 2 'cpuu-inspect: there is no such command' look
case_of 2 'cpuu-inspect: one FILE is needed' blob
case_of 2 'cpuu-inspect: one FILE is needed' blob a b
case_of 2 'cpuu-inspect: that option is for profiles' blob --check a
case_of 2 'cpuu-inspect: --links and --verify' blob --links --verify a
case_of 2 'cpuu-inspect: --hive or --reg is needed' profile
case_of 2 'cpuu-inspect: --hive and --reg exclude' profile --hive a --reg b
case_of 2 'cpuu-inspect: that option is for blobs' profile --links --reg b
case_of 2 'cpuu-inspect: --graph, --check and --diff' profile --graph --check --reg b
case_of 2 'cpuu-inspect: a graph has no JSON form' profile --graph --json --reg b
case_of 2 'cpuu-inspect: --diff needs two names' profile --diff a
case_of 2 'cpuu-inspect: --diff names the profiles itself' profile --reg a --profile b --diff c d
case_of 2 'cpuu-inspect: there is something after' profile --reg a b
case_of 2 "cpuu-inspect: cannot open '/nonexistent'" blob /nonexistent
case_of 2 "cpuu-inspect: '-' is of no known type" blob -
case_of 2 "cpuu-inspect: there is no type 'x'" blob --type x "$corpus/nickname/types"
case_of 0 'AutoComplete stream' blob "$corpus/nickname/types"
case_of 0 'nickname, 460 bytes: equal' blob --verify "$corpus/nickname/types"
case_of 0 'dn ' blob --links --type nickname "$corpus/nickname/types"
case_of 0 '{"format":"cpuu-inspect-blob"' blob --json "$corpus/srs/one-group"
case_of 0 '          profile' profile --reg "$corpus/profile/full.reg"
case_of 0 'digraph profile' profile --graph --reg "$corpus/profile/full.reg"
case_of 0 '0 differences' profile --diff "$corpus/profile/full.reg" "$corpus/profile/full.reg"
exit $failed
