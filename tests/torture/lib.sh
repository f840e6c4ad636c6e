# What the torture tests share. They run the twin of the program, whose fault points obey the
# environment, and ask only for this: whatever happened, after the next complete run everything is old
# or everything is new, and undo gives back the start state. CPUU_TORTURE_FULL=1 leaves out no point.
CPUU=${BUILD:-$PWD}/cpuu-twin
. "${srcdir:=$(dirname "$0")/../..}/tests/e2e/testing.sh" || exit 1
full=${CPUU_TORTURE_FULL:-0}
points=0

# Learns the two legal states, and how many fault points a run of each mode has.
learn() {
    # A killed client leaves its sessions behind; hundreds of them are not what this is about.
    CONTENT=$WORK/content.conf
    sed '/^\[org /a max-contexts = 100000' "$src/tests/lab/demo.conf" >"$CONTENT"
    world 8 16.0 </dev/null
    ls -A "$WORK/Users/alice" >"$WORK/files.start"
    CPUU_FAULT_COUNT=$WORK/count.update run
    snapshot new
    CPUU_FAULT_COUNT=$WORK/count.undo run -UndoAll
    snapshot old
    same start old || { fail "undo" "does not restore:$differs"; finish; }
    same start new && { fail "update" "changes nothing"; finish; }
    mv "$WORK/source.new" "$WORK/source.kept"
    cmp -s "$WORK/source.start" "$WORK/source.kept" || fail "update" "changes the source"
    ln -sf source.start "$WORK/source.new"
}

counted() { awk -v k="$2" '$1 == k { print $2 }' "$WORK/count.$1"; } # mode, kind

violated() { # where, what
    fail "$1" "$2"
    tail -8 "$WORK/out" | sed 's/^/    /'
    [ $failures -gt "${MAX_FAILURES:-5}" ] && { echo "too many; giving up"; finish; }
    again
}

# After a violation: a fresh world.
again() {
    lab_stop
    rm -rf "$WORK/state"
    lab_start "$CONTENT"
    make_hive "$HIVE" 8 16.0
    make_ini </dev/null
}

# The hive is replaced in one step: at no time is it anything but old or new.
hive_whole() {
    dump_plain "$HIVE" >"$WORK/hive.now"
    cmp -s "$WORK/hive.now" "$WORK/hive.start" || cmp -s "$WORK/hive.now" "$WORK/hive.new"
}

is_state() { # where, state
    snapshot now
    if same now "$2"; then return 0; fi
    for what in $differs; do diff "$WORK/$what.$2" "$WORK/$what.now" | cut -c1-160 | head -6; done
    violated "$1" "not the $2 state:$differs"
    return 1
}

# A profile in which the program was killed keeps a note of it, which would make a third kill in the
# same feature another experiment.
forget_deaths() {
    [ "$(ls -A "$WORK/state" 2>/dev/null | grep -c '[.]cpuu$')" = 1 ] && rm -f "$WORK/state/"*.cpuu
}

no_rubbish() { # where
    forget_deaths
    ls -A "$WORK/Users/alice" | cmp -s - "$WORK/files.start" ||
        violated "$1" "files left behind: $(ls -A "$WORK/Users/alice" | tr '\n' ' ')"
    [ -z "$(ls -A "$WORK/state" 2>/dev/null)" ] ||
        violated "$1" "left in the state folder: $(ls -A "$WORK/state" | tr '\n' ' ')"
}

# From whatever a run left: an update to the end, then back.
to_new_and_back() { # where
    run
    is_state "$1, then update" new || return
    to_old "$1, then update"
}
to_old() { # where
    run -UndoAll
    is_state "$1, then undo" start && no_rubbish "$1, then undo"
}

# An update that is not part of the experiment.
updated() {
    run
    [ $mask -eq 1 ] || violated "a plain update" "mask $mask"
}
