#!/bin/bash
# A plugin of somebody else, made as the plugin guide says from what `make install` has installed and nothing
# else: it looks into colleagues' mailboxes on both sides, one of which is closed to the user, rewrites links
# of its own, and is loaded, shown, updated, rolled back, cleaned up and skipped like any other.
testing=e2e-outside
. "${srcdir:=$(dirname "$0")/../..}/tests/e2e/testing.sh" || exit 1
. "$src/tests/e2e/golden/world.sh" || exit 1 # store_eid
command -v pkg-config >/dev/null || { echo "SKIP: $testing: pkg-config is not installed"; exit 77; }
umask 022 # nobody but the owner may be able to write to a folder of plugins

# ---- the author: installs, compiles, checks, installs his own --------------------------------------------
make -s -C "$BUILD" install DESTDIR="$WORK/root" >"$WORK/make" 2>&1 || { tail -5 "$WORK/make"; die "make install"; }
pc() { PKG_CONFIG_SYSROOT_DIR="$WORK/root" PKG_CONFIG_PATH="$WORK/root$pcdir" pkg-config "$@"; }
pcdir=$(cd "$WORK/root" && find . -name pkgconfig | sed 's/^\.//')
plugins=$WORK/root$(PKG_CONFIG_PATH="$WORK/root$pcdir" pkg-config --variable=plugindir cpuu-plugin)
template=$(find "$WORK/root" -name new-plugin.sh)
bin=$(dirname "$(find "$WORK/root" -name cpuu-plugin-check)")
CPUU=$bin/cpuu

"$template" Shares "$WORK/shares" >/dev/null || fail "template" "new-plugin.sh"
build() { # folder
    PKG_CONFIG_SYSROOT_DIR="$WORK/root" PKG_CONFIG_PATH="$WORK/root$pcdir" \
        make -s -C "$1" PACKAGES="cpuu-plugin cpuu-formats" CHECK="$bin/cpuu-plugin-check" check >"$WORK/make" 2>&1
}
export LD_LIBRARY_PATH=$(dirname "$WORK/root$pcdir")
check "the template builds and passes" "$(tail -3 "$WORK/make")" build "$WORK/shares"
cp "$src/tests/e2e/outside/shares.c" "$WORK/shares/plugin.c"
check "the plugin builds and passes" "$(tail -3 "$WORK/make")" build "$WORK/shares"
check "nothing of the source tree was used" "$(cat "$WORK/make")" \
    test -z "$(strings "$WORK/shares/shares.so" 2>/dev/null | grep -F "$src/sdk")"
make -s -C "$WORK/shares" install PLUGINDIR="$plugins" || fail "install" "make install"

# ---- the administrator -------------------------------------------------------------------------------------
share() { # subject, store, folder
    printf 'fai @inbox\nprop Class IPM.Outside.Share\nprop Subject "%s"\n' "$1"
    printf 'prop {00020329-0000-0000-C000-000000000046}:outside-store:0102 %s\n' "$2"
    printf 'prop {00020329-0000-0000-C000-000000000046}:outside-folder:0102 %s\n' "$3"
}
CONTENT=$WORK/content.conf
{
    cat "$src/tests/lab/demo.conf"
    echo '[mailbox source/bob]'
    echo 'name @calendar "Bobs Kalender"'
    echo '[mailbox target/bob]'
    echo 'name @calendar "Bobs neuer Kalender"'
    echo '[mailbox source/alice]'
    share "of bob" store:bob eid:bob:@calendar
    share "of bob by address" "$(store_eid bob@source.test '' 0c)" eid:bob:@calendar
    share "of carol" store:carol eid:carol:@calendar
    share "of dave" store:dave eid:dave:@calendar
    share "of nobody" "$(store_eid nobody@source.test '' 0c)" "$zoe_folder"
} >"$CONTENT"
shares() { # SUBJECT of the target: "store folder called"
    jq -r --arg s "$1" '.target.mailboxes.alice[].associated // [] | .[].properties | select(.["0E1D001F"] == $s)
        | [to_entries[] | select(.key | test("outside-")) | {(.key | capture("outside-(?<n>[a-z]+)").n): .value}] | add
        | "\(.store // "-") \(.folder // "-") \(.called // "-")"' "$WORK/mail.$2"
}
share_is() { # case, subject, snapshot, wanted
    have=$(shares "$2" "$3")
    check "$1" "'$have' instead of '$4'" test "$have" = "$4"
}
link() { # subject: outcome and reason in the report
    jq -r --arg s "$1" '.profiles[0].features[] | select(.name == "Shares").links[]
        | select(.title == $s) | "\(.outcome) \(.reason)"' "$WORK/report.json"
}
link_is() { # subject, wanted
    check "report: $1" "'$(link "$1")' instead of '$2'" test "$(link "$1")" = "$2"
}

world 8 16.0 </dev/null
run --plugins "$plugins" --list-features
says "the list names it and its maker" "^Shares *Folders that colleagues share *Somebody else 2.1"

gives "dry run" 1 --plugins "$plugins" --dry-run
link_is "of bob" "rewritten migrated"
snapshot dry
same_or_fail "dry run changes nothing" start dry

gives "update" 1 --plugins "$plugins"
snapshot updated
bob="$(store_eid bob@target.test "$(id .target.bob.dn)" 0c) $(id '.target.bob.folders["@calendar"]')"
share_is "moved: store and folder of the target, named as they are there" "of bob" updated "$bob Bobs neuer Kalender"
share_is "known by the address only: the same" "of bob by address" updated "$bob Bobs neuer Kalender"
share_is "not moved: links stay, the name is read at the source" "of carol" updated \
    "$(id .source.carol.store) $(id '.source.carol.folders["@calendar"]') Calendar"
share_is "closed: links stay, and no name is known" "of dave" updated \
    "$(id .source.dave.store) $(id '.source.dave.folders["@calendar"]') -"
says "closed: the answer is no access, for that query" "of dave at the source: closed (-4)"
says "moved: the source mailbox could be read, too" "of bob at the source: Bobs Kalender (0)"
link_is "of bob" "rewritten migrated"
link_is "of carol" "kept not-migrated"
link_is "of dave" "kept no-access"
link_is "of nobody" "kept unknown"
says "nobody: there is no such mailbox" "of nobody at the source: closed (-5)"
check "mailboxes of colleagues are only read" "they differ" \
    test "$(jq -S '.target.mailboxes.bob' "$WORK/mail.start")" = "$(jq -S '.target.mailboxes.bob' "$WORK/mail.updated")"
check "the source is only read" "it differs" cmp -s "$WORK/source.start" "$WORK/source.updated"

gives "undo" 1 --plugins "$plugins" -UndoAll
snapshot undone
same_or_fail "undo gives everything back" start undone

make_ini <<<"Skip=Shares"
gives "update without it" 1 --plugins "$plugins"
snapshot skipped
check "skipped: nothing of it is written" "$(shares "of bob" skipped)" test -z "$(shares "of bob" skipped)"
gives "undo without it" 1 --plugins "$plugins" -UndoAll

make_ini <<<"Features=Shares"
echo "MaxOtherMailboxes=1" >>"$WORK/CPUU.ini"
gives "update of it alone, one mailbox may be opened" 1 --plugins "$plugins"
snapshot alone
share_is "limit: the first one is followed" "of bob" alone "$bob Bobs neuer Kalender"
says "limit: the others are named" "of carol at the source: closed (-4)"
gives "cleanup" 1 --plugins "$plugins" -Cleanup
gives "after the cleanup there is nothing to take back" 0 --plugins "$plugins" -UndoAll
finish
