#!/bin/bash
# Plugins that misbehave: each is named with what it did, changes nothing, and costs the others nothing.
testing=e2e-outside-bad
. "${srcdir:=$(dirname "$0")/../..}/tests/e2e/testing.sh" || exit 1
umask 022
sed '/^\[mailbox target\/bob\]/a item @inbox\nprop Class IPM.Note\nprop Subject "to Bob"' "$src/tests/lab/demo.conf" >"$WORK/content.conf"
CONTENT=$WORK/content.conf
build() { # CASE
    rm -rf "$WORK/plugins"
    mkdir "$WORK/plugins"
    ${CC:-cc} -std=c99 -fPIC -shared -fvisibility=hidden -I"$src/sdk/include" "-DCASE_$1" -w \
        -o "$WORK/plugins/bad.so" "$src/tests/e2e/outside/bad.c" >"$WORK/cc" 2>&1 || { cat "$WORK/cc"; fail "$1" "it does not compile"; }
}
unchanged() { # case: target, source and profile are as at the start
    snapshot now
    same_or_fail "$1: nothing changed" start now
}
untouched() { # case: mailboxes are as at the start, the profile is switched
    snapshot now
    check "$1: the mailbox is as it was" "it differs" cmp -s "$WORK/mail.start" "$WORK/mail.now"
    check "$1: the source is as it was" "it differs" cmp -s "$WORK/source.start" "$WORK/source.now"
}
state_of() { jq -r --arg f "$1" '.profiles[0].features[] | select(.name == $f) | .state' "$WORK/report.json"; }

# ---- refused before anything is touched ------------------------------------------------------------------
world 8 16.0 </dev/null
refused() { # CASE, words
    build "$1"
    gives "$1: the run does not start" "$2" --plugins "$WORK/plugins"
    says "$1: file and reason are named" "bad.so'.*$3"
    unchanged "$1"
    check "$1: no journal" "there is one" test -z "$(ls "$WORK/state" 2>/dev/null)"
}
refused ABI 16 "built for plugin interface 2.0, this program has 1.0"
refused SYMBOL 16 "has no function cpuu_plugin_query"
refused NULL 16 "refuses to work with plugin interface 1.0"
build NONE
chmod g+w "$WORK/plugins/bad.so"
gives "writable by others: the run does not start" 16 --plugins "$WORK/plugins"
says "writable by others: file and reason are named" "bad.so' .*can be written to by others"
unchanged "writable by others"

# ---- failing while it runs: not critical, then critical ---------------------------------------------------
fails() { # CASE, words, feature that fails
    build "$1"
    gives "$1: the profile is updated without it" 1 --plugins "$WORK/plugins"
    check "$1: the feature failed" "it is $(state_of "${3:-Bad}")" test "$(state_of "${3:-Bad}")" = failed
    says "$1: what it did is named" "$2"
    untouched "$1"
    gives "$1: undo" 1 --plugins "$WORK/plugins" -UndoAll
    snapshot now
    same_or_fail "$1: undo gives everything back" start now
    gives "$1: critical, the profile is left alone" 4 --plugins "$WORK/plugins" -Critical "${3:-Bad}"
    unchanged "$1, critical"
}
fails CODE "eature Bad has a bug: it returned the unknown code 77"
fails SILENT "eature Bad has a bug: it failed without saying why"
fails SOURCE "eature Bad has a bug: .*needs"
fails FOREIGN_ID "eature Bad"
fails COLLEAGUE "eature Bad.*Bob's message"
build LATE
gives "LATE: the profile is updated" 1 --plugins "$WORK/plugins"
says "LATE: what it did is named" "eature Bad has a bug: it called a service after its verb had returned"
check "LATE: nothing it asked for was done" "it was" bash -c '! grep -q "I should be silent" "$0"' "$WORK/cpuu.log"
untouched LATE
gives "LATE: undo" 1 --plugins "$WORK/plugins" -UndoAll

# ---- never coming back ------------------------------------------------------------------------------------
make_ini <<<"FeatureWait=1"
fails SLOW "eature Bad was not done after 1 seconds (FeatureWait)"
build HANGS
for time in first second; do
    gives "HANGS: the $time time the program ends" 32 --plugins "$WORK/plugins"
    says "HANGS: the feature is named in the log" "Error. Feature Bad, begun at this time, has not come back"
    check "HANGS: the feature is named on the terminal" "$(tail -3 "$WORK/out")" grep -q "Feature Bad, begun" "$WORK/out"
    snapshot now
    check "HANGS: the profile is not switched" "it is" cmp -s "$WORK/hive.start" "$WORK/hive.now"
done
gives "HANGS: it is not tried a third time" 1 --plugins "$WORK/plugins"
says "HANGS: and that is said" "feature Bad ended the program 2 times and is not tried again"
untouched HANGS
gives "HANGS: undo" 1 --plugins "$WORK/plugins" -UndoAll
snapshot now
same_or_fail "HANGS: undo gives everything back" start now
finish
