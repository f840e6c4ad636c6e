#!/bin/bash
# Installs what is missing, builds, and rehearses a whole migration on this machine: two Exchange-like
# organisations on loopback, an Outlook profile in a real registry hive that moves from one to the other, and
# back. Every claim is checked with tools that are not ours; the demo fails if one link is wrong.
cd "$(dirname "$0")" || exit 1
top=$PWD
config/install-deps.sh || exit 1
BUILD=$top/build/demo
echo "Building ..."
config/build.sh "$BUILD" >build.log 2>&1 || { tail -40 build.log; echo "DEMO FAILED: the build failed"; exit 1; }
rm -f build.log

WORK=$(mktemp -d)
. "$top/tests/e2e/lib.sh"
trap 'lab_stop; rm -rf "$WORK"' EXIT
CPUU=$BUILD/cpuu
HIVE=$WORK/Users/alice/NTUSER.DAT
failed=0

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
must() { # message, command ...
    what=$1
    shift
    if "$@"; then echo "  ok     $what"; else echo "  WRONG  $what"; failed=1; fi
}
same() { cmp -s "$1" "$2"; }
run() { # options of cpuu; its own words, indented
    echo "  \$ cpuu --hive NTUSER.DAT -INI CPUU.ini $*"
    cpuu "$@" 2>&1 | sed 's/^/  | /'
    mask=${PIPESTATUS[0]}
}
cpuu() {
    "$CPUU" --hive "$HIVE" -INI "$WORK/CPUU.ini" --state "$WORK/state" -Log "$WORK/cpuu.log" \
        --json "$WORK/report.json" "$@"
}

say "Two organisations come up on loopback, HTTPS with a CA of their own"
mkdir -p "$(dirname "$HIVE")"
lab_start tests/lab/demo.conf
make_hive "$HIVE" 8 16.0
make_ini </dev/null
echo "  source $source_url, target $target_url"
dump_hive "$HIVE" >"$WORK/hive.before"
dump_mailboxes target >"$WORK/target.before"
dump_mailboxes source >"$WORK/source.before"

say "Alice's profile, and the shortcuts in her old mailbox"
run --list-profiles
show_source_shortcuts

say "The plan: a dry run says every old and new value, and writes nothing"
run --dry-run >"$WORK/plan.txt"
grep -E "^  . [A-Za-z]*: '.*' (rewritten|kept|dropped)" "$WORK/plan.txt"
grep 'would change' "$WORK/plan.txt" | grep -E 'SMTP address|OST' | head -4
grep -c 'would change' "$WORK/plan.txt" | sed 's/^/  values it would change in all: /'
dump_hive "$HIVE" >"$WORK/hive.dry"
dump_mailboxes target >"$WORK/target.dry"
must "the hive is as it was" same "$WORK/hive.before" "$WORK/hive.dry"
must "the target mailbox is as it was" same "$WORK/target.before" "$WORK/target.dry"

say "The update"
run
must "exit mask 1: updated" test "$mask" -eq 1
must "the CSV says code 10, PROFILE_MODIFYING_OK" grep -q "^Outlook	10	0$" "$WORK/cpuu.csv"

say "Where the shortcuts lead now, read from the server, not from cpuu"
check_shortcuts || failed=1

say "What the profile opens now, read by reglookup"
reglookup -p "$(profile_key)" "$HIVE" 2>/dev/null | grep -E 'Account Name|Email' | cut -d, -f1,3 |
    sed 's/.*\//  /'
must "the account is the target mailbox" account_is "$HIVE" alice@target.test
must "the colleague who has moved is opened at the target" hive_has "$HIVE" 'bob@target.test'
must "the colleague who has not moved is still opened at the source" hive_has "$HIVE" 'carol@source.test'
must "contact folders in the address book lead to the target" contab_is_target "$HIVE"
dump_mailboxes source >"$WORK/source.after"
must "the source mailboxes were not written" same "$WORK/source.before" "$WORK/source.after"

say "Once more: nothing to do, and no network"
lab_get 'stats?reset=1' >/dev/null
run
must "no request reached either organisation" test "$(lab_get stats | jq '[.[].requests] | add')" -eq 0

say "The rollback"
run -UndoAll
must "exit mask 1: rolled back" test "$mask" -eq 1
dump_hive "$HIVE" >"$WORK/hive.undone"
dump_mailboxes target >"$WORK/target.undone"
must "every key and value of the hive is as before (reglookup)" same "$WORK/hive.before" "$WORK/hive.undone"
must "the target mailbox is as before (canonical dump of the server)" same "$WORK/target.before" "$WORK/target.undone"

echo
if [ $failed -eq 0 ]; then
    echo "DEMO OK: the profile moved and came back; every check held."
else
    echo "DEMO FAILED: see the lines marked WRONG."
fi
exit $failed
