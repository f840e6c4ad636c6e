#!/bin/bash
# The whole life of a profile, for one width of multi-valued properties and one Outlook version:
# list, dry run, update, again, undo, again, update, cleanup. usage: cycle.sh WIDTH VERSION
width=${1:-8} version=${2:-16.0}
testing=e2e-cycle-$width-$version
. "${srcdir:=$(dirname "$0")/../..}/tests/e2e/testing.sh" || exit 1
world "$width" "$version" </dev/null
profile=/Software/Microsoft/Office/$version/Outlook/Profiles/Outlook

state_files() { find "$WORK/state" -type f -exec cksum {} + 2>/dev/null | sort; }
no_requests() { [ "$(lab_get stats | jq '[.[].requests] | add')" = 0 ]; }

# ---- nothing is changed by looking --------------------------------------------------------------
md5=$(md5sum <"$HIVE")
gives "list-profiles ends well" 0 --list-profiles
says "list-profiles shows the profile" '^  Outlook (default)'
says "list-profiles tells what would become of it" "an update switches it when 'alice@source.test' has moved"
says "list-profiles shows the account" 'Exchange account alice@source.test, primary, cached'
gives "dry run ends well" 1 --dry-run
check "dry run leaves the hive" "its bytes differ" test "$md5" = "$(md5sum <"$HIVE")"
check "dry run leaves no state" "there are files" test -z "$(state_files)"
snapshot dry
same_or_fail "dry run changes nothing" start dry
says "dry run shows new values" 'alice@target.test'
says "dry run marks what is inferred" '(inferred)'

# ---- update -------------------------------------------------------------------------------------
gives "update succeeds" 1
csv_is "update: CSV" Outlook "10 0"
snapshot updated
check "the source is only read" "its dump differs" cmp -s "$WORK/source.start" "$WORK/source.updated"
check_shortcuts >"$WORK/shortcuts"
while read -r verdict text; do
    check "shortcut $text" "$text" test "$verdict" = ok
done <"$WORK/shortcuts"

report() { jq -r "$1" "$WORK/report.json"; }
quietly() { "$@" >/dev/null; }
check "report is valid JSON" "jq does not read it" quietly jq -e . "$WORK/report.json"
check "report: mask and mode" "they differ" \
    test "$(report '"\(.exit.mask) \(.run.mode) \(.run.dry_run)"')" = "1 update false"
check "report: every link has outcome and reason" "one has not" quietly jq -e \
    '[.profiles[0].features[].links[]] | length >= 20 and all(.outcome != null and .reason != null and .title != null)' \
    "$WORK/report.json"
while read -r feature n; do # as many as the content file and the profile have
    check "report: links of $feature" "not $n" quietly jq -e --arg f $feature --argjson n $n \
        '.profiles[0].features[] | select(.name == $f) | .links | length == $n' "$WORK/report.json"
done <<'EOT'
AddBoxes 2
CONTAB 3
Favorites 7
Calendar 4
Contacts 1
Tasks 1
Notes 1
Journal 1
EOT
for line in "profile 'Outlook' of" "'Carol Clark' kept: its owner has not moved" \
    "'Only at the source' dropped: there is no such folder" "'Bob Brown' rewritten: its owner has moved"; do
    check "log: $line" "no such line" grep -qF "$line" "$WORK/cpuu.log"
done
check "log has the guide's level tags" "a line has none" \
    awk '!/^[0-9-]+ [0-9:.]+ [0-9]+ \[(Info|Trace|TraceW|Warning|Error)\] /{bad=1} END{exit bad}' "$WORK/cpuu.log"
check "no password in the log or the report" "there is one" \
    bash -c '! grep -aq "alice-source\|alice-target" "$0/cpuu.log" "$0/report.json" "$0/out"' "$WORK"

# ---- the hive, as reglookup and the lab see it ----------------------------------------------------
value() { # section name/part: its value with the NULs of UTF-16 taken out
    grep -aF "$profile/$1," "$WORK/hive.updated.exact" | cut -d, -f3- | sed 's/%00//g'
}
section_of() { # text in the section's address: the section of an additional mailbox
    sed 's/%00//g' "$WORK/hive.updated.exact" | grep -a "^$profile/.*/001f6641,BINARY,SMTP:$1" |
        sed "s,^$profile/,,; s,/.*,,"
}
check "account: address" "$(value 9375CFF0413111d3B88A00104B2A6676/00000002/Email)" \
    grep -q "alice@target.test" <<<"$(value 9375CFF0413111d3B88A00104B2A6676/00000002/Email)"
inbox=$(value 9375CFF0413111d3B88A00104B2A6676/00000002/'Delivery Folder EntryID')
raw() { grep -aF "$profile/$1," "$WORK/hive.updated.exact" | cut -d, -f3-; }
check "account: delivery folder is the target's inbox" "$inbox" test \
    "$(raw 9375CFF0413111d3B88A00104B2A6676/00000002/'Delivery Folder EntryID')" = \
    "$(quoted "$(id '.target.alice.folders["@inbox"]')")"
bob=$(section_of bob@target.test) carol=$(section_of carol@source.test)
check "AddBoxes: bob has moved" "no section for bob@target.test" test -n "$bob"
check "AddBoxes: bob's DN" "$(value "$bob/001e660b")" \
    test "$(value "$bob/001e660b")" = "$(id .target.bob.dn)"
check "AddBoxes: bob's store" "$(raw "$bob/01020ff9")" \
    test "$(raw "$bob/01020ff9")" = "$(quoted "$(id .target.bob.guid)")"
check "AddBoxes: carol stays" "no section for carol@source.test" test -n "$carol"
check "AddBoxes: carol's DN" "$(value "$carol/001e660b")" \
    test "$(value "$carol/001e660b")" = "$(id .source.carol.dn)"
contab=$(grep -a "^$profile/[^,]*/11026620,BINARY," "$WORK/hive.updated.exact")
for folder in @contacts @contacts/Клиенты @contacts/Suppliers; do
    new=$(quoted "$(id ".target.alice.folders[\"$folder\"]")")
    old=$(quoted "$(id ".source.alice.folders[\"$folder\"]")")
    check "CONTAB: $folder" "not the target's" grep -qF "$new" <<<"$contab"
    check "CONTAB: no source $folder" "still there" bash -c '! grep -qF "$1" <<<"$0"' "$contab" "$old"
done
search=$(grep -a "^$profile/[^,]*/11023d05,BINARY," "$WORK/hive.updated.exact")
check "Services: the search path" "has no target folder" \
    grep -qF "$(quoted "$(id '.target.alice.folders["@contacts"]')")" <<<"$search"
check "Services: no source folder in the search path" "still there" \
    bash -c '! grep -qF "$1" <<<"$0"' "$search" "$(quoted "$(id '.source.alice.folders["@contacts"]')")"
# Values start at multiples of the descriptor width: its count is followed by the first size.
check "descriptor width is kept" "$(cut -c1-120 <<<"$contab")" bash -c '
    before=$(grep -a "/11026620,BINARY," "$0" | cut -d, -f3- | cut -c1-48)
    [ "$(cut -d, -f3- <<<"$1" | cut -c1-48)" = "$before" ]' "$WORK/hive.start" "$contab"

# ---- again, back, again ---------------------------------------------------------------------------
lab_get "stats?reset=1" >/dev/null
md5=$(md5sum <"$HIVE") files=$(state_files)
gives "second update has nothing to do" 0
csv_is "second update: CSV" Outlook "2 2"
check "second update: no request" "$(lab_get stats | tr -d '\n ')" no_requests
check "second update: hive untouched" "its bytes differ" test "$md5" = "$(md5sum <"$HIVE")"
check "second update: state untouched" "it differs" test "$files" = "$(state_files)"
gives "dry undo" 1 --dry-run -UndoAll
check "dry undo: hive untouched" "its bytes differ" test "$md5" = "$(md5sum <"$HIVE")"
gives "undo" 1 -UndoAll
csv_is "undo: CSV" Outlook "12 2"
snapshot undone
same_or_fail "undo restores" start undone
cmp -s "$WORK/hive.start.exact" "$WORK/hive.undone.exact" && pass "undo restores exactly" ||
    fail "undo restores exactly" "the dumps differ"
gives "second undo has nothing to do" 0 -UndoAll
csv_is "second undo: CSV" Outlook "3 0"
gives "update again" 1
snapshot again
same_or_fail "update again gives the same" updated again
gives "cleanup" 1 -Cleanup
csv_is "cleanup: CSV" Outlook "14 2"
check "cleanup removes the journal" "$(ls "$WORK/state")" test -z "$(state_files)"
check "cleanup removes the backup copy" "it is still there" \
    bash -c '! reglookup "$0" 2>/dev/null | grep -q CPUU_Backup_' "$HIVE"
gives "undo after cleanup" 0 -UndoAll
csv_is "undo after cleanup: CSV" Outlook "3 2"
gives "update after cleanup has nothing to do" 0
csv_is "update after cleanup: CSV" Outlook "2 2"
finish
