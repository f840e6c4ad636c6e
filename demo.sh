#!/bin/bash
# Installs what is missing, builds, and rehearses a whole migration on this machine: two Exchange-like
# organisations on loopback, a user with links of every kind, an update of her Outlook profile, and the way
# back. Every link is read without cpuu and compared with tests/demo/expected.txt; the demo fails if one
# is wrong. "./demo.sh --stay" keeps the organisations running at the end, to try things by hand.
cd "$(dirname "$0")" || exit 1
top=$PWD
if [ -z "$BUILD" ]; then # a build folder that exists may be given
    BUILD=$top/build/demo
    config/install-deps.sh || exit 1
    echo "Building (a few minutes the first time) ..."
    config/build.sh "$BUILD" >build.log 2>&1 || { tail -40 build.log; echo "DEMO FAILED: the build failed"; exit 1; }
    rm -f build.log
fi
WORK=$BUILD/rehearsal
rm -rf "$WORK"
mkdir -p "$WORK" || exit 1
. tests/e2e/lib.sh
. tests/e2e/profile-data.sh
. tests/demo/lib.sh
trap lab_stop EXIT
trap 'exit 1' INT TERM HUP
HIVE=$WORK/Users/alice/NTUSER.DAT FILES=$WORK/Users/alice/AppData/Roaming/Microsoft/Outlook
failed=0

say "Two Exchange-like organisations on loopback; alice's mailbox has moved from one to the other"
cat tests/lab/demo.conf tests/demo/world.conf >"$WORK/world.conf"
lab_start "$WORK/world.conf"
cat <<END
  source.test  $source_url   alice, bob, carol; public folders
  target.test  $target_url   alice and bob, who have moved (bob is Robert now); public folders
  carol has not moved, nobody knows zoe, and the folder "Only at the source" is missing at the target.
END
make_full_hive "$HIVE" 8 16.0
pane source.alice source.bob all >"$FILES/Outlook.xml"
groups source.alice source.bob >"$FILES/Outlook.srs"
make_ini </dev/null
cd "$WORK" || exit 1
state before

say "Alice's Outlook 16.0 profile, with links to all of them"
run profiles --list-profiles
sed 's/^/  | /' profiles.txt

say "The plan: a dry run says every old and new value, and writes nothing"
run plan --dry-run
show plan "^AddBoxes: 'Bob" '^would change Bob, sales' '^Links:' '^Values'
state planned
must "nothing has changed: profile, files, mailboxes" same before planned

say "The update"
run update
show update '^warning' '^Links:' '^Values' 'exit mask'
must "profile updated: exit mask 1, code 10 (PROFILE_MODIFYING_OK) in CPUU.csv" updated
state after

say "Every link before and after: mailboxes from the servers, the profile by reglookup, files as they are"
compare_links before after >links.txt || echo "  WRONG a link cannot be read"
grep -v '^  ok  +' links.txt
must "these and $(grep -c '^  ok  +' links.txt) more (links.txt) are what tests/demo/expected.txt says" \
    all_links_are_right
must "they are of all $(features | wc -l) features that cpuu has" every_feature_is_shown
must "both files are, byte for byte, what an independent generator writes for the target" files_are_right
must "the source mailboxes were not written" cmp -s source.before source.after

say "Once more: there is nothing to do, and no network is needed"
lab_get 'stats?reset=1' >/dev/null
run again
show again 'Profile .Outlook' 'exit mask'
state again
must "not one request reached an organisation" test "$(lab_get stats | jq '[.[].requests] | add')" -eq 0
must "nothing has changed" same after again

say "The rollback"
run rollback -UndoAll
show rollback 'Profile .Outlook' 'exit mask'
state undone
must "every key and value of the profile is as it was (reglookup)" cmp -s hive.before hive.undone
must "every item of the target mailboxes is as it was (the server's own dump)" cmp -s target.before target.undone
must "both files and the source mailboxes, too" same before undone

echo
echo "Details: $WORK (plan.txt, update.txt, links.txt, CPUU.log, CPUU.ini, world.conf)"
[ "$1" = --stay ] && stay
if [ $failed -eq 0 ]; then
    echo "DEMO OK: the profile moved and came back; every check held."
else
    echo "DEMO FAILED: see the lines marked WRONG."
fi
exit $failed
