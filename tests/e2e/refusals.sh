#!/bin/bash
# What must be refused is refused with the guide's codes and a reason, and nothing is changed.
testing=e2e-refusals
. "${srcdir:=$(dirname "$0")/../..}/tests/e2e/testing.sh" || exit 1

unchanged() { # case
    snapshot now
    same_or_fail "$1: nothing changed" start now
    check "$1: no journal left" "$(ls "$WORK/state" 2>/dev/null)" \
        test -z "$(ls "$WORK/state" 2>/dev/null)"
}
# A run that must end so: case, exit status, CSV row of the profile, words, arguments...
refused() {
    refused_case=$1 refused_mask=$2 refused_csv=$3 refused_words=$4
    shift 4
    gives "$refused_case" "$refused_mask" "$@"
    [ "$refused_csv" = - ] || csv_is "$refused_case: CSV" Outlook "$refused_csv"
    says "$refused_case: reason" "$refused_words"
    unchanged "$refused_case"
}
full_mask() { jq .exit.mask "$WORK/report.json"; }
another_content() { # sed script, or a file to append
    lab_stop
    rm -rf "$WORK/state"
    sed "$1" "$src/tests/lab/demo.conf" >"$WORK/content.conf"
    [ -z "${2:-}" ] || cat >>"$WORK/content.conf"
    CONTENT=$WORK/content.conf
}

world 8 16.0 </dev/null

# ---- names and settings ------------------------------------------------------------------------------
gives "unknown profile" 4 -Profiles Nope
csv_is "unknown profile: CSV" Nope "4 0"
unchanged "unknown profile"
echo 'Features=Rules
Skip=Nicks' | make_ini
refused "Features with Skip" 0 - 'Features.*Skip'
echo 'Features=Favourites' | make_ini
refused "unknown feature" 0 - 'Favorites'
{ echo "Skip=All"; } | make_ini
sed -i /ProcessOfflineProfiles/d "$WORK/CPUU.ini"
make_ini </dev/null

# ---- credentials and hosts ---------------------------------------------------------------------------
sed -i s/alice-source/wrong/ "$WORK/credentials.ini"
refused "wrong source password" 4 "11 0" '0xc01000cf, Description: HTTP status code 401'
says "wrong source password: side" 'Cannot get an Autodiscover response on source'
make_ini </dev/null
sed -i s/alice-target/wrong/ "$WORK/credentials.ini"
refused "wrong target password" 4 "11 0" 'Cannot get an Autodiscover response on target'
check "no password is shown" "it is" bash -c '! grep -aq "alice-source" "$0/out" "$0/cpuu.log"' "$WORK"
make_ini </dev/null
chmod 644 "$WORK/credentials.ini"
refused "credentials that others can read" 4 "11 0" 'credentials.ini'
make_ini </dev/null
sed -i /CAFile/d "$WORK/CPUU.ini"
refused "certificate of an unknown authority" 4 "11 0" 'certificate'
make_ini </dev/null
mkfifo "$WORK/pipe"
for file in "$WORK/pipe" "$WORK/none.pem"; do
    sed -i "s,^CAFile=.*,CAFile=$file," "$WORK/CPUU.ini"
    refused "CAFile=$(basename "$file")" 4 "11 0" "CPUU.ini:2: CAFile: '.*' is not a file"
done
make_ini </dev/null
sed -i '/TargetDomains/d; /AutodiscoverTargetURL/d' "$WORK/CPUU.ini"
lab_get 'stats?reset=1' >/dev/null
refused "a Switch Message alone names no host" 4 "11 0" 'TargetDomains'
check "no request to the target" "there was one" test "$(lab_get stats | jq .target.requests)" = 0
make_ini </dev/null

# ---- a terminal: the target's account is asked for when the source's is refused there -------------------
on_terminal() { # case, exit status, answers...
    answered=$1 status=$2
    shift 2
    found=0
    "$BUILD/cpuu-on-terminal" "$@" -- "$CPUU" --hive "$HIVE" -INI "$WORK/CPUU.ini" --state "$WORK/state" \
        -Log "$WORK/cpuu.log" >"$WORK/out" 2>&1 || found=$?
    check "$answered" "status $found instead of $status" test $found -eq "$status"
}
printf 'AskCredentials=1\nSkip=All\n' | make_ini
sed -i /CredentialsFile/d "$WORK/CPUU.ini"
on_terminal "AskCredentials: both accounts" 1 alice@source.test alice-source alice@target.test alice-target
gives "AskCredentials: undo" 1 -UndoAll
unchanged "AskCredentials"
on_terminal "AskCredentials: wrong for the target, asked once" 4 alice@source.test alice-source \
    alice@target.test alice-source
unchanged "AskCredentials: wrong for the target"
echo AskSourceCredentialsOnly=1 >>"$WORK/CPUU.ini"
on_terminal "AskSourceCredentialsOnly: asked once" 4 alice@source.test alice-source
unchanged "AskSourceCredentialsOnly"
check "AskCredentials: no password is shown" "it is" bash -c '! grep -aq "alice-source" "$0/out" "$0/cpuu.log"' "$WORK"
make_ini </dev/null

# ---- Autodiscover answers for another mailbox ----------------------------------------------------------
sed -i "s,^AutodiscoverSourceURL=.*,AutodiscoverSourceURL=$source_url/nowhere.xml," "$WORK/CPUU.ini"
refused "wrong Autodiscover URL" 4 "11 0" 'Cannot get an Autodiscover response for the user'
sed -i "s,^AutodiscoverSourceURL=.*,AutodiscoverSourceURL=https://localhost:1/a.xml," "$WORK/CPUU.ini"
refused "Autodiscover not reachable" 4 "11 0" '0x00002efd'
sed -i "s,^AutodiscoverSourceURL=.*,AutodiscoverSourceURL=https://no.such.host.invalid/a.xml," "$WORK/CPUU.ini"
refused "Autodiscover host unknown" 4 "11 0" '0x00002ee7'
make_ini </dev/null
dn=$(id .source.alice.dn)
sed "s,$dn,${dn%-alice}-other," "$WORK/profile.reg" >"$WORK/other.reg"
mv "$HIVE" "$WORK/good.hive"
"$BUILD/cpuu-mkhive" "$HIVE" "$WORK/other.reg" || fail "another DN" "no hive"
snapshot start
refused "another DN in the profile" 4 "11 0" \
    "User LegacyExchangeDN properties are different: from the source Autodiscover response: '$dn', from the profile"
gives "-SkipAutodiscoverChecking" 1 -SkipAutodiscoverChecking
gives "-SkipAutodiscoverChecking: undo" 1 -UndoAll
unchanged "-SkipAutodiscoverChecking"
mv "$WORK/good.hive" "$HIVE"
snapshot start

# ---- the hive and the folders --------------------------------------------------------------------------
flock -o "$HIVE" sleep 5 &
holder=$!
sleep 0.3
refused "locked hive" 16 - 'in use by another process'
kill $holder; wait $holder 2>/dev/null
cp -p "$HIVE" "$WORK/good.hive"
# Primary sequence number off by one, header checksum (exclusive or of the words before it) right again.
flip() { # offset: the lowest bit of a byte
    byte=$(od -An -tu1 -j"$1" -N1 "$HIVE")
    printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$HIVE" bs=1 seek="$1" conv=notrunc status=none
}
flip 4; flip 508
md5=$(md5sum <"$HIVE")
gives "dirty hive" 16
says "dirty hive: reason" 'log\|dirty\|not.*cleanly\|unloaded'
check "dirty hive: nothing changed" "its bytes differ" test "$md5" = "$(md5sum <"$HIVE")"
flip 4
md5=$(md5sum <"$HIVE")
gives "hive with a wrong checksum" 16
check "hive with a wrong checksum: nothing changed" "bytes differ" test "$md5" = "$(md5sum <"$HIVE")"
head -c 5000 "$WORK/good.hive" >"$HIVE"
gives "hive that is cut off" 16
echo "not a hive" >"$HIVE"
gives "no hive at all" 16
cp -p "$WORK/good.hive" "$HIVE"
# A state folder that cannot be used: the update, the rollback, the cleanup cannot be done, in turn.
no_state() { # case, what the user can do
    gives "$1" 4
    csv_is "$1: CSV" Outlook "9 0"
    says "$1: what to do" "cannot open the journal of the profile: .*$2"
    gives "$1: undo" 4 -UndoAll
    csv_is "$1: undo: CSV" Outlook "13 0"
    gives "$1: cleanup" 16 -Cleanup
    csv_is "$1: cleanup: CSV" Outlook "15 0"
    check "$1: hive" "changed" cmp -s "$HIVE" "$WORK/good.hive"
}
rm -rf "$WORK/state"
echo blocked >"$WORK/state"
no_state "state folder that is a file" 'is not a folder; choose another with --state'
rm "$WORK/state"
mkdir "$WORK/state"
chmod 777 "$WORK/state"
no_state "state folder of all" 'chmod go-w'
chmod 700 "$WORK/state"
if [ "$(command id -u)" = 0 ]; then
    chown 65534 "$WORK/state"
    no_state "state folder of another user" 'choose another with --state'
fi
rm -rf "$WORK/state"
[ "$(command id -u)" = 0 ] && command -v setpriv >/dev/null &&
    as_nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
if [ "$(command id -u)" = 0 ] && [ -z "${as_nobody:-}" ]; then
    echo "SKIP: $testing unwritable folder: root can write everywhere"
else
    real=$CPUU
    [ -z "${as_nobody:-}" ] || chown -R 65534:65534 "$WORK"
    chmod 555 "$(dirname "$HIVE")"
    printf '#!/bin/sh\nexec %s "%s" "$@"\n' "${as_nobody:-}" "$real" >"$WORK/as-nobody"
    chmod 755 "$WORK/as-nobody"
    CPUU=$WORK/as-nobody
    gives "unwritable folder" 4
    csv_is "unwritable folder: CSV" Outlook "11 0"
    says "unwritable folder: reason" 'cannot create a temporary file beside'
    chmod 755 "$(dirname "$HIVE")"
    chmod 500 "$WORK/state"
    gives "unwritable state folder" 4
    csv_is "unwritable state folder: CSV" Outlook "9 0"
    says "unwritable state folder: what to do" 'cannot open journal.*choose with --state a folder in which you'
    chmod 700 "$WORK/state"
    CPUU=$real
    chmod 755 "$(dirname "$HIVE")"
    chown -R "$(command id -u)" "$WORK"
    unchanged "unwritable folder"
fi

# ---- Switch Messages (512 is folded into 2, and 4 says that an update failed) and the mapping file ----------------------------------------------------------------
head='source_smtp,source_dn,target_smtp,target_dn,display_name,office365,migrated'
printf '%s\nalice@source.test,,alice@target.test,%s,,0,0\n' "$head" "$(id .target.alice.dn)" >"$WORK/map.csv"
echo "MappingFile=$WORK/map.csv" | make_ini
refused "the mapping file says: not yet" 2 "0 0" 'mapping file does not say'
printf '%s\nbob@source.test,,bob@target.test,,,0,1\n' "$head" >"$WORK/map.csv"
refused "not in the mapping file" 2 "0 0" 'mapping file does not say'
printf 'no such header\n' >"$WORK/map.csv"
refused "a mapping file that is none" 0 - 'CPUU.ini:[0-9]*: MappingFile: .*map.csv'

another_content '0,/^switch target\/alice/{/^switch target\/alice/d}'
world 8 16.0 </dev/null
refused "no Switch Message" 2 "0 0" 'no Switch Message'
check "no Switch Message: mask" "$(full_mask)" test "$(full_mask)" = 2

another_content 's,^switch target/alice,&\nswitch target/bob,'
world 8 16.0 </dev/null
refused "several Switch Messages" 6 "11 0" 'several Switch Messages'
check "several Switch Messages: mask" "$(full_mask)" test "$(full_mask)" = 516

for xml in '' '<SwitchMessage' '<SwitchMessage xmlns=\"urn:cpuu:switch:1\" version=\"9\"/>' \
    '<!DOCTYPE a [<!ENTITY b \"c\">]><SwitchMessage xmlns=\"urn:cpuu:switch:1\" version=\"1\"/>' \
    '<SwitchMessage xmlns=\"urn:cpuu:switch:1\" version=\"1\"><TargetSmtpAddress>alice@target.test</TargetSmtpAddress></SwitchMessage>'; do
    another_content '0,/^switch target\/alice/{/^switch target\/alice/d}' more <<END
[mailbox source/alice]
fai @inbox
prop 001A001F IPM.Configuration.CPUU.Switch
prop 0037001F IPM.Configuration.CPUU.Switch
prop 7C060003 2
prop 7C080102 "utf8:$xml"
END
    world 8 16.0 </dev/null
    gives "malformed Switch Message ${xml:0:20}" 6
    check "malformed Switch Message ${xml:0:20}: mask" "$(full_mask)" test "$(full_mask)" = 516
    unchanged "malformed Switch Message ${xml:0:20}"
done
CONTENT=

# ---- plain http ------------------------------------------------------------------------------------------
lab_stop
rm -rf "$WORK/state"
lab_start "$src/tests/lab/demo.conf" --http
make_hive "$HIVE" 8 16.0
make_ini </dev/null
sed -i /CAFile/d "$WORK/CPUU.ini"
snapshot start
refused "http" 4 "11 0" 'http'
check "http: no request with a password" "$(lab_get stats)" \
    test "$(lab_get stats | jq '[.[].requests] | add')" = 0
echo AllowInsecureHTTP=1 >>"$WORK/CPUU.ini"
gives "AllowInsecureHTTP" 1
gives "AllowInsecureHTTP: undo" 1 -UndoAll
unchanged "AllowInsecureHTTP"
finish
