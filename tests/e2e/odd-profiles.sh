#!/bin/bash
# Profiles, names and settings that are out of the ordinary, without a network: a mapping file says who
# moved. What can be done is done and taken back exactly, the rest is refused with the guide's code.
testing=e2e-odd-profiles
. "${srcdir:=$(dirname "$0")/../..}/tests/e2e/testing.sh" || exit 1
key='HKEY_CURRENT_USER\Software\Microsoft\Office\16.0\Outlook'

columns=source_smtp,source_dn,target_smtp,target_dn,display_name,office365,migrated
cat >"$WORK/map.csv" <<END
$columns
anna.alder@source.example,,anna@target.example,/o=TargetOrg/cn=Recipients/cn=anna,Anna Alder,0,1
bert@source.example,,bert@target.example,/o=TargetOrg/cn=Recipients/cn=bert,Bert,0,1
END
settings() { # lines of CPUU.ini
    printf '%s\n' '[Parameters]' ProcessOfflineProfiles=1 "MappingFile=$WORK/map.csv" "$@" >"$WORK/CPUU.ini"
}
profile() { # file, arguments of cpuu-mkprofile
    "$BUILD/cpuu-mkprofile" "${@:2}" >"$1" || die "no profile"
}
reg() { printf '%s\r\n' 'Windows Registry Editor Version 5.00' '' "$@" >"$WORK/more.reg"; }
hive() { # .reg files
    rm -rf "$WORK/Users" "$WORK/state"
    HIVE=$WORK/Users/anna/NTUSER.DAT
    mkdir -p "$(dirname "$HIVE")/AppData/Roaming" "$(dirname "$HIVE")/AppData/Local"
    "$BUILD/cpuu-mkhive" "$HIVE" "$@" || die "no hive"
    dump_hive "$HIVE" >"$WORK/before"
}
as_before() { dump_hive "$HIVE" | cmp -s - "$WORK/before"; }
logged() { # case, level, pattern
    check "$1" "the log holds no [$2] line with '$3'" grep -aq "\[$2\] .*$3" "$WORK/cpuu.log"
}

profile "$WORK/alpha.reg" profile=Alpha
profile "$WORK/beta.reg" profile=Beta smtp=bert@source.example dn=/o=SourceOrg/cn=bert
settings Skip=All

# ---- which one is the default -------------------------------------------------------------------------
reg "[$key]" '"DefaultProfile"=-'
hive "$WORK/alpha.reg" "$WORK/more.reg"
gives "the only profile is the default one" 1 -DefaultProfile
gives "the default one was updated before" 0 -DefaultProfile
csv_is "the default one was updated before: CSV" Alpha "2 2"
gives "the only profile is rolled back" 1 -UndoDefaultProfile
check "the only profile is rolled back: as before" "it is not" as_before
hive "$WORK/alpha.reg" "$WORK/beta.reg" "$WORK/more.reg"
gives "none of two is the default" 0 -DefaultProfile
says "none of two is the default: said" 'none of its profiles.*-Profiles'
check "none of two is the default: as before" "it is not" as_before
reg "[$key]" '"DefaultProfile"="Gone"'
hive "$WORK/alpha.reg" "$WORK/more.reg"
gives "a default that does not exist" 4 -DefaultProfile
csv_is "a default that does not exist: CSV" Gone "4 0"
check "a default that does not exist: as before" "it is not" as_before

# ---- two profiles of one mailbox --------------------------------------------------------------------------
profile "$WORK/second.reg" profile=Second
hive "$WORK/alpha.reg" "$WORK/second.reg"
gives "one of two profiles of a mailbox" 1 -Profiles Alpha
logged "one of two profiles of a mailbox: said" Warning "Profile 'Second' opens the same mailbox"
gives "one of two profiles of a mailbox: undo" 1 -UndoAll
rm -f "$WORK/cpuu.log"
gives "both profiles of a mailbox" 1
check "both profiles of a mailbox: nothing to say" "the log warns" \
    bash -c '! grep -aq "opens the same mailbox" "$0"' "$WORK/cpuu.log"

# ---- the look-up in the directory -------------------------------------------------------------------------
excluded() { reglookup "$HIVE" 2>/dev/null | grep -q 'AutoDiscover/ExcludeScpLookup,DWORD,0x00000001'; }
hive "$WORK/alpha.reg"
gives "-DoNotModifyExcludeSCPLookup" 1 -DoNotModifyExcludeSCPLookup
check "-DoNotModifyExcludeSCPLookup: left alone" "it is switched off" eval '! excluded'
settings Skip=All AutodiscoverSourceURL=https://old.example/a AutodiscoverTargetURL=https://new.example/a
hive "$WORK/alpha.reg"
gives "-DoNotModifyExcludeSCPLookup with both URLs" 1 -DoNotModifyExcludeSCPLookup
check "-DoNotModifyExcludeSCPLookup with both URLs: no effect" "it is not switched off" excluded
settings Skip=All

# ---- what the log says of one that is left alone --------------------------------------------------------
reg "[$key\\Profiles\\Empty]"
hive "$WORK/more.reg"
gives "an empty profile" 4
csv_is "an empty profile: CSV" Empty "4 0"
logged "an empty profile is an error" Error 'lists no services'
section=$(sed -n 's/\r$//; /^\[/h; /^"00036601"=/{x;p;q}' "$WORK/alpha.reg")
reg "$section" '"00036619"=hex:00,f0,00,80'
hive "$WORK/alpha.reg" "$WORK/more.reg"
gives "a smart card" 4
csv_is "a smart card: CSV" Alpha "19 0"
check "a smart card: as before" "it is not" as_before
reg "$section" '"00036619"=hex:10,00,00,00'
hive "$WORK/alpha.reg" "$WORK/more.reg"
gives "Kerberos is supported" 1

# ---- settings ----------------------------------------------------------------------------------------------
hive "$WORK/alpha.reg"
settings Skip=All Critical="Activities SRS"
gives "critical and left out" 1 --dry-run
logged "critical and left out: said" Warning 'CPUU.ini:5: Critical: SRS is left out by Skip'
logged "Activities: said" Info 'Activities is not applicable'
settings Skip=All ConnectTo=nonsense
gives "ConnectTo" 0
says "ConnectTo: line and reason" "CPUU.ini:5: ConnectTo: 'nonsense' is not HOST:PORT:HOST:PORT"
settings Skip=All 'ConnectTo=a:443:[::1]:8443 ::127.0.0.1:'
gives "ConnectTo of four fields" 1 --dry-run
settings Skip=All
sed -i "s,^MappingFile=.*,MappingFile=$WORK/none.csv," "$WORK/CPUU.ini"
gives "a mapping file that is not there" 0
says "a mapping file that is not there: line and reason" 'CPUU.ini:3: MappingFile: .*No such file'
check "a mapping file that is not there: as before" "it is not" as_before
settings Skip=All
anna='/o=SourceOrg/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn=anna'
mapping() { # lines
    printf '%s\n' "$columns" "$@" >"$WORK/other.csv"
    settings Skip=All
    sed -i "s,^MappingFile=.*,MappingFile=$WORK/other.csv," "$WORK/CPUU.ini"
}
mapping "anna.alder@source.example,,anna@target.example,/o=T/cn=anna,,," ",$anna,bert@target.example,/o=T/cn=bert,,,"
gives "two lines about one account" 4
csv_is "two lines about one account: CSV" Alpha "4 0"
says "two lines about one account: said" "lines 2 and 3 of the mapping file are both about 'anna.alder@source.example'"
mapping "anna.alder@source.example,,ANNA.ALDER@source.example,$anna,,,"
gives "moved to itself" 4
csv_is "moved to itself: CSV" Alpha "11 0"
says "moved to itself: said" 'would be moved to itself; correct the mapping file'
check "moved to itself: as before" "it is not" as_before
mapping "anna.alder@source.example,,anna.alder@source.example,/o=T/cn=anna,,,"
gives "the same address on both sides" 1 --dry-run
settings Skip=All
gives "a folder of hives that is not there" 17 --hives "$WORK/nowhere"
logged "a folder of hives that is not there: said" Error "nowhere': No such file"

# ---- a cleanup that is stopped -----------------------------------------------------------------------------
settings Skip=All
for i in $(seq 1 12); do profile "$WORK/many$i.reg" profile="P$i"; done
hive "$WORK"/many*.reg
gives "twelve profiles" 1
rm -f "$WORK/cpuu.log"
"$CPUU" --hive "$HIVE" -INI "$WORK/CPUU.ini" --state "$WORK/state" -Log "$WORK/cpuu.log" -Cleanup \
    >"$WORK/out" 2>&1 &
cleaner=$!
until grep -aqs PROFILE_CLEANUP_OK "$WORK/cpuu.log" || ! kill -0 $cleaner 2>/dev/null; do sleep 0.01; done
kill -INT $cleaner 2>/dev/null
mask=0
wait $cleaner || mask=$?
rows() { awk -F'\t' -v c="$1" '$2 == c' "$WORK/cpuu.csv" | wc -l; }
check "a stopped cleanup: exit mask" "it is $mask instead of 9" test $mask -eq 9
check "a stopped cleanup: some are cleaned" "none" test "$(rows 14)" -ge 1
check "a stopped cleanup: the others are said to be left" "$(rows 14) and $(rows 16)" \
    test $(($(rows 14) + $(rows 16))) -eq 12
gives "a stopped cleanup goes on" 1 -Cleanup
check "a stopped cleanup goes on: nothing is left" "$(ls "$WORK/state")" test -z "$(ls "$WORK/state")"

finish
