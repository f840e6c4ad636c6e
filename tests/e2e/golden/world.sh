# One world in which every feature has links of every kind it can carry. Sourced by the tests that use it.
#
#   own, gone      a folder of the user's own mailbox; one that is missing at the target
#   bob            a colleague who has moved
#   carol          one who has not
#   eve            one whom the target does not know and whose mailbox is closed to the user
#   zoe            nobody anywhere knows her
#   public, pst    a public folder; a folder in a PST
#   copied         what the mailbox move has copied and still names the source
#   there, tina    what is at the target already: the user's own, a colleague only the target has
#
# People's names at the target differ from those at the source, so that a name that changed can be seen.

dn() { echo "/o=$1Org/ou=Ex/cn=Recipients/cn=$2"; } # Source|Target, person
hex() { printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n'; }
wide() { hex "$1" | sed 's/../&00/g'; } # ASCII

# [MS-OXCDATA] 2.2.4.3 with the block of Outlook 2013 and later (observed): address, DN, type.
store_eid() {
    printf '%s' 0000000038a1bb1005e5101aa1bb08002b2a56c20000454d534d44422e444c4c00000000
    printf '%s' 000000001b55fa20aa6611cd9bc800aa002fc45a"$3"000000
    printf '%s' "$(hex "$1")00$(hex "$2")00e94632f4"
    printf '%02x0000000200000010000000' $((16 + 2 * ${#1} + 4))
    printf '%s00000000' "$(wide "$1")"
}
zoe_guid=07070707070707070707070707070707
zoe_folder=00000000${zoe_guid}01000808080808080808080808080808080800000000002a0000
zoe_store=$(store_eid zoe@source.test "$(dn Source zoe)" 08)
pst_record=09090909090909090909090909090909
pst_folder=00000000${pst_record}82800000
# A PST's store (observed).
pst_path='C:\Users\alice\Documents\Old mail.pst'
pst_store=0000000038a1bb1005e5101aa1bb08002b2a56c200006d737073742e646c6c00000000004e495441f9bfb80100aa0037d96e00000000$(wide "$pst_path")0000
# [MS-OXCDATA] 2.2.5.2 address list of one directory: container type 100h, named by a GUID.
list_of_source=00000000dca740c8c042101ab4b908002b2fe1820100000000010000$(hex /guid=A0B1C2D3E4F5061728394A5B6C7D8E9F)00

# ---- people and folders ------------------------------------------------------------------------------

person_of() { # org, name, shown, further lines
    printf '[user %s/%s]\ndn = %s\ndisplay = %s\npassword = %s\n' "$1" "$2" \
        "$(dn "$([ "$1" = source ] && echo Source || echo Target)" "$2")" "$3" "$2-$1"
    shift 3
    printf '%s\n' "$@"
}
from() { echo "proxy = X500:$(dn Source "$1")"; }

people() {
    printf '[org source]\no = SourceOrg\ndomain = source.test\nmax-contexts = 100000\n'
    printf '[org target]\no = TargetOrg\ndomain = target.test\nmax-contexts = 100000\n'
    person_of source alice 'Alice Adams'
    person_of source bob 'Bob Brown' 'grant = alice'
    person_of source carol 'Carol Clark' 'grant = alice'
    person_of source eve 'Eve Elder'
    person_of target alice 'Alice Adams' "$(from alice)"
    person_of target bob 'Robert Brown' 'grant = alice' "$(from bob)"
    person_of target carol 'Carol Clark' 'kind = remote' 'smtp = carol@source.test' "$(from carol)"
    person_of target tina 'Tina Target' 'grant = alice'
}

# pane: section, role folder, class of its folders, first byte of its class GUID, own folder in it
panes() {
    cat <<'EOF'
Favorites 1 @inbox IPF.Note 00
Calendar 3 @calendar IPF.Appointment 02
Contacts 4 @contacts IPF.Contact 01
Tasks 5 @tasks IPF.Task 03
Notes 6 @notes IPF.StickyNote 04
Journal 7 @journal IPF.Journal 08
EOF
}

folders() {
    echo '[public source]'
    printf 'folder %s\n' Company Company/News Company/Gone
    echo '[public target]'
    printf 'folder %s\n' Company Company/News
    for side in source target; do
        echo "[mailbox $side/alice]"
        panes | while read -r pane section role class byte; do
            printf 'folder %s/%s %s\n' "$role" Own "$class" "$role" Copied "$class"
            [ $side = source ] && echo "folder $role/Gone $class"
        done
    done
    printf '[mailbox source/alice]\nswitch target/alice\n[mailbox source/bob]\nswitch target/bob\n'
}

# ---- the six panes -----------------------------------------------------------------------------------

# title, pane (section and GUID byte), type, flags, EntryID, store, further lines
shortcut() {
    n_shortcuts=$((n_shortcuts + 1))
    printf 'fai @commonviews\nprop Class IPM.Microsoft.WunderBar.Link\nprop Subject "%s"\n' "$1"
    printf 'prop WlinkSaveStamp 0x12345678\nprop WlinkType %s\nprop WlinkFlags %s\n' "$4" "$5"
    printf 'prop WlinkOrdinal 80%02x\nprop WlinkEntryId "%s"\n' $n_shortcuts "$6"
    printf 'prop WlinkRecordKey "%s"\nprop WlinkStoreEntryId "%s"\n' "${6/#eid:/rk:}" "$7"
    printf 'prop WlinkFolderType %s78060000000000c000000000000046\n' "$3"
    printf 'prop WlinkGroupClsid %02x000000000000000000000000000000\n' "$2"
    printf 'prop WlinkGroupName "My %s"\nprop WlinkSection %s\n' "$pane" "$2"
    shift 7
    [ $# -gt 0 ] && printf 'prop %s\n' "$@"
}
group() { # section, GUID byte, title
    printf 'fai @commonviews\nprop Class IPM.Microsoft.WunderBar.Link\nprop Subject "%s"\n' "$3"
    printf 'prop WlinkGroupHeaderID %02x000000000000000000000000000000\n' "$1"
    printf 'prop WlinkSaveStamp 0x12345678\nprop WlinkType 4\nprop WlinkFlags 0\nprop WlinkOrdinal 80\n'
    printf 'prop WlinkFolderType %s78060000000000c000000000000046\nprop WlinkSection %s\n' "$2" "$1"
}
owner() { printf 'WlinkAddressBookEID %s\nWlinkAddressBookStoreEID store:%s' "$1" "$2"; }

pane_content() {
    n_shortcuts=0
    while read -r pane section role class byte; do
        echo '[mailbox source/alice]'
        group $section $byte "My $pane"
        shortcut own $section $byte 0 0 "eid:$role/Own" store:alice
        shortcut gone $section $byte 0 0 "eid:$role/Gone" store:alice
        shortcut there $section $byte 0 0 "eid:$role" store:alice
        shortcut copied $section $byte 0 0 "eid:$role/Copied" store:alice
        for who in bob carol eve; do
            shortcut $who $section $byte 2 0x200 "eid:$who:$role" store:$who \
                "WlinkAddressBookEID ab:$who" "WlinkAddressBookStoreEID store:alice"
        done
        shortcut zoe $section $byte 2 0x200 $zoe_folder $zoe_store \
            "WlinkAddressBookEID abdn:$(dn Source zoe)" "WlinkAddressBookStoreEID store:alice"
        shortcut public $section $byte 0 1 eid:public:Company/News store:public
        shortcut pst $section $byte 0 0 $pst_folder $pst_store
        shortcut tina $section $byte 2 0x200 "eid:target/tina:$role" store:target/tina \
            "WlinkAddressBookEID ab:target/tina" "WlinkAddressBookStoreEID store:alice"
        echo '[mailbox target/alice]'
        shortcut 'there (by the client)' $section $byte 0 0 "eid:$role" store:alice
        shortcut 'copied by the move' $section $byte 0 0 "eid:source/alice:$role/Copied" store:source/alice
        shortcut 'only at the target' $section $byte 2 0x200 "eid:tina:$role" store:tina \
            "WlinkAddressBookEID ab:tina" "WlinkAddressBookStoreEID store:alice"
    done < <(panes)
    pane=Favorites
    echo '[mailbox source/alice]'
    echo 'search @finder/Unread IPF.Note'
    shortcut search 1 00 1 0 eid:@finder/Unread store:alice
}

# ---- rules -------------------------------------------------------------------------------------------

move_action() { echo "prop 668000FE 0100 size16[ 01 00000000 00000000 00 size16[ $1 ] size16[ $2 ] ]"; } # store, folder
# Sender condition as clients write it: EntryID, name and search key of one person.
sent_by() { # EntryID, name, search key
    echo "prop 667900FD 0A 04 03000060 01000000 02010100 size16[ $1 ] 1F000100 \"utf16:$2\" 03000039 00000000 01 04 04 02011D0C 02011D0C size16[ $3 ]"
}
rule() { # title, further words of the statement
    n_rules=$((n_rules + 1))
    title=$1
    shift
    echo "rule @inbox \"$title\" seq=$n_rules $*"
}
junk() { # folder
    printf 'fai @inbox\nprop Class IPM.ExtendedRule.Message\nprop 65E90003 49\nprop 65EA0003 0\n'
    printf 'prop 65EB001F JunkEmailRule\nprop 65EC001F "Junk E-mail Rule"\nprop 65ED0003 0\n'
    printf 'prop 65EE0102 01000000010000000000000000004640\nprop 65F30003 0\n'
    printf 'prop 0E9A0102 0000 03 01000100 1F003700 1F003700 utf16:junk\nprop 0E990102 0000 01000000 01000000 '
    printf 'size32[ 01 00000000 00000000 size32[ 00000000000000000000000000000000 ] size32[ %s ] ]\n' "$1"
}

rule_content() {
    n_rules=9
    echo '[mailbox source/alice]'
    rule own if=subject:own do=move:@inbox/Own
    rule gone if=subject:gone do=move:@inbox/Gone
    rule 'from bob' do=read
    sent_by ab:bob 'Bob Brown' searchkey:bob
    rule 'from zoe' do=read
    sent_by "abdn:$(dn Source zoe)" 'Zoe Zebra' "$(hex "EX:$(dn Source zoe | tr a-z A-Z)")00"
    rule 'to bob' if=subject:bob do=forward:bob
    rule 'to carol' if=subject:carol do=forward:carol
    rule 'to eve' if=subject:eve do=forward:eve
    rule 'to tina' if=subject:tina do=forward:target/tina
    rule "bob's folder" if=subject:b
    move_action store:bob eid:bob:@inbox
    rule "carol's folder" if=subject:c
    move_action store:carol eid:carol:@inbox
    rule "zoe's folder" if=subject:z
    move_action $zoe_store $zoe_folder
    rule public if=subject:news
    move_action store:public eid:public:Company/News
    rule pst if=subject:pst
    move_action $pst_store $pst_folder
    rule 'switched off' state=0 if=subject:off do=move:@inbox/Own
    rule 'made by the server' provider=ExchangeMailboxRules14 if=subject:web do=move:@inbox/Own
    rule copied if=from:bob do=move:@inbox/Copied
    rule there if=from:bob do=move:@inbox/Own
    junk eid:@junkemail
    n_rules=24
    echo '[mailbox target/alice]'
    rule copied if=from:source/bob do=move:source/alice:@inbox/Copied
    rule there if=from:bob do=move:@inbox/Own
    rule 'only at the target' if=subject:new do=move:@inbox/Own
    junk eid:source/alice:@junkemail
}

# ---- search folders ------------------------------------------------------------------------------------

# title, flags, folders ..., then -- and what follows the folder list (default: no addresses, two empty blocks)
search_folder() {
    n_searches=$((n_searches + 1))
    title=$1 flags=$2 list= sizes= n=0
    shift 2
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        n=$((n + 1))
        if [ ${#1} -eq 48 ]; then size=18; else size=2e; fi
        sizes="$sizes ${size}000000 00000000"
        list="$list $1"
        shift
    done
    [ $# -gt 0 ] && shift
    printf 'fai @commonviews\nprop Class IPM.Microsoft.WunderBar.SFInfo\nprop Subject "%s"\n' "$title"
    printf 'prop 68410003 14\nprop 68420102 %02x000000000000000000000000000000\n' $n_searches
    printf 'prop 68440102 01020304\nprop 68450102 04100000 %s000000 00000000 chars8[ ] 00000000 01000000 chars8[ ] ' $flags
    printf 'size32[ %02x000000 00000000 %s %s ] %s\n' $n "$sizes" "$list" "${*:-00000000 00000000}"
    printf 'prop 68460003 %d\nprop 68470003 %d\nprop 68480003 0x30000\n' 0x$flags $n_searches
    printf 'prop 68340003 219000000\nprop 683A0003 219043200\n'
}
address() { # EntryID, name, DN, search key, SMTP address
    echo "06000000 00000000 0201FF0F size16[ $1 ] 1F000130 size16[ \"utf16:$2\" ] 1F000230 size16[ utf16:EX ]" \
        "1F000330 size16[ utf16:$3 ] 02010B30 size16[ $4 ] 1F00FE39 size16[ utf16:$5 ]"
}

search_content() {
    n_searches=0
    echo '[mailbox source/alice]'
    search_folder own 40 eid:@inbox/Own eid:@calendar
    search_folder 'own and gone' 40 eid:@inbox/Own eid:@inbox/Gone
    search_folder gone 40 eid:@inbox/Gone
    search_folder people 44 eid:@ipmsubtree -- 04000000 \
        "$(address ab:bob 'Bob Brown' "$(dn Source bob)" searchkey:bob bob@source.test)" \
        "$(address ab:carol 'Carol Clark' "$(dn Source carol)" searchkey:carol carol@source.test)" \
        "$(address ab:eve 'Eve Elder' "$(dn Source eve)" searchkey:eve eve@source.test)" \
        "$(address ab:target/tina 'Tina Target' "$(dn Target tina)" searchkey:target/tina tina@target.test)" \
        00000000 00000000
    search_folder 'folders of others' 40 eid:bob:@inbox eid:carol:@inbox $zoe_folder
    search_folder public 40 eid:public:Company/News
    search_folder pst 40 $pst_folder
    search_folder 'a category' 48 eid:@ipmsubtree -- 00000000 08000000 \
        'tag:{00020329-0000-0000-C000-000000000046}:Keywords:101F' 00000000
    search_folder copied 40 eid:@inbox/Copied
    search_folder there 40 eid:@inbox/Own
    n_searches=8
    echo '[mailbox target/alice]'
    search_folder copied 40 eid:source/alice:@inbox/Copied
    search_folder there 40 eid:@inbox/Own
    search_folder 'only at the target' 40 eid:tina:@inbox
}

# ---- delegates -------------------------------------------------------------------------------------------

delegate_list() { # label, names ..., -- EntryIDs ...
    printf 'item @freebusydata as %s\nprop Class IPM.Microsoft.ScheduleData.FreeBusy\nprop Subject LocalFreebusy\n' "$1"
    shift
    names= flags=
    while [ "$1" != -- ]; do
        names="$names \"$1\""
        flags="$flags $((${#1} % 2))"
        shift
    done
    shift
    printf 'prop 684A101F%s\nprop 6844101F%s\nprop 68451102 %s\nprop 686B1003%s\n' "$names" "$names" "$*" "$flags"
    printf 'prop 6842000B 1\nprop 6843000B 0\nprop 684B000B 0\n'
}
free_busy() { printf 'folderprop %s 36E41102 "" msg:%s "" eid:@freebusydata\n' @inbox $1 @root $1; } # label

delegate_content() {
    echo '[mailbox source/alice]'
    delegate_list lfb 'Bob Brown' 'Carol Clark' 'Eve Elder' -- ab:bob ab:carol ab:eve
    free_busy lfb
    echo 'rule @inbox "" seq=0 "provider=Schedule+ EMS Interface" if=subject:meeting do=delegate:bob do=delegate:carol do=delegate:eve'
    printf 'permission @calendar %s editor\n' bob carol eve
    printf 'permission @inbox bob reviewer\npermission @freebusydata bob editor\n'
    echo '[mailbox target/alice]'
    delegate_list lfbt 'Tina Target' -- ab:tina
    free_busy lfbt
    printf 'permission @calendar tina editor\npermission @calendar bob reviewer\n'
}

# ---- AutoComplete ------------------------------------------------------------------------------------------

nick_content() {
    echo '[mailbox source/alice]'
    printf 'fai @inbox\nprop Class IPM.Configuration.Autocomplete\nprop Subject IPM.Configuration.Autocomplete\nprop RoamingDatatypes 1\n'
    echo "prop RoamingBinary nick:8 \"nickrow:bob|900|Bob Brown|EX|bob|bob@source.test\" \"nickrow:alice|800|Alice Adams|EX|alice|alice@source.test\" \"nickrow:carol|700|Carol Clark|EX|carol|carol@source.test\" \"nickrow:eve|600|Eve Elder|EX|eve|eve@source.test\" \"nickrow:zoe|500|Zoe Zebra|EX|$(dn Source zoe)|zoe@source.test\" \"nickrow:smtp|400|Somebody|SMTP|somebody@elsewhere.test\" \"nickrow:tina|300|Tina Target|EX|target/tina|tina@target.test\" \"nickrow:copied|200|Bob|EX|bob|bob@source.test\" nickend:"
    echo '[mailbox target/alice]'
    printf 'fai @inbox\nprop Class IPM.Configuration.Autocomplete\nprop Subject IPM.Configuration.Autocomplete\nprop RoamingDatatypes 1\n'
    echo 'prop RoamingBinary nick:2 "nickrow:only at the target|650|Tina|EX|tina|tina@target.test" "nickrow:copied|200|Bob|EX|source/bob|bob@source.test" nickend:'
}

# ---- contacts ----------------------------------------------------------------------------------------------

address_set='{00062004-0000-0000-C000-000000000046}' common_set='{00062008-0000-0000-C000-000000000046}'
slot() { # 8, 9 or A: name shown, type, address, SMTP address or shown name, EntryID
    printf 'prop %s:0x80%s0:001F "%s"\n' $address_set $1 "$2"
    printf 'prop %s:0x80%s2:001F %s\n' $address_set $1 "$3"
    printf 'prop %s:0x80%s3:001F "%s"\n' $address_set $1 "$4"
    printf 'prop %s:0x80%s4:001F "%s"\n' $address_set $1 "$5"
    printf 'prop %s:0x80%s5:0102 "%s"\n' $address_set $1 "$6"
}
contact() { # name, search key byte, label
    printf 'item @contacts as %s\nprop Class IPM.Contact\nprop Subject "%s"\nprop DisplayName "%s"\n' "$3" "$1" "$1"
    printf 'prop 300B0102 %s\n' "$(printf "%.0s$2" 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)"
}
# A member of a personal list that is a contact in a PST ([MS-OXOCNTC] 2.2.2.2.4.1.1: type 3, not checked).
pst_member=00000000c091add3519dcf11a4a900aa0047faa4c3${pst_folder}
# The same with a message of a public folder ([MS-OXCDATA] 2.2.4.2: type 9).
public_member=00000000c091add3519dcf11a4a900aa0047faa4c3000000001a447390aa6611cd9bc800aa002fc45a0900$(printf '%032d' 5)00000000002a0000$(printf '%032d' 5)00000000002b0000

contact_content() {
    for side in source target; do # the mailbox move has copied them all
        echo "[mailbox $side/alice]"
        contact people b1 $side-people
        slot 8 bob EX "$(dn Source bob)" bob@source.test ab:source/bob
        slot 9 carol EX "$(dn Source carol)" carol@source.test ab:source/carol
        slot A eve EX "$(dn Source eve)" eve@source.test ab:source/eve
        echo "prop $address_set:0x80E2:0102 ab:source/bob"
        contact others b2 $side-others
        slot 8 alice EX "$(dn Source alice)" alice@source.test ab:source/alice
        slot 9 zoe EX "$(dn Source zoe)" zoe@source.test "abdn:$(dn Source zoe)"
        slot A tina EX "$(dn Target tina)" tina@target.test ab:target/tina
        echo "prop $common_set:0x8585:0102 hex:01000000 hex:4C000000 hex:46000000 msg:source-people hex:0000"
        contact smtp b3 $side-smtp
        slot 8 Somebody SMTP somebody@elsewhere.test somebody@elsewhere.test 'oneoff:Somebody|SMTP|somebody@elsewhere.test'
        printf 'item @contacts as %s-list\nprop Class IPM.DistList\nprop Subject list\nprop DisplayName list\n' $side
        echo "prop 300B0102 $(printf '%.0sd1' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)"
        echo "prop $address_set:0x8053:001F list"
        echo "prop $address_set:0x8055:1102 member:source/bob member:source/carol member:source/eve member:target/tina \"oneoff:Somebody|SMTP|somebody@elsewhere.test\" membermsg:source-people $pst_member $public_member"
        echo "prop $address_set:0x8054:1102 \"oneoff:bob|SMTP|bob@source.test\" \"oneoff:carol|SMTP|carol@source.test\" \"oneoff:eve|SMTP|eve@source.test\" \"oneoff:tina|SMTP|tina@target.test\" \"oneoff:Somebody|SMTP|somebody@elsewhere.test\" \"oneoff:people|SMTP|people@elsewhere.test\" \"oneoff:pst|SMTP|pst@elsewhere.test\" \"oneoff:public|SMTP|public@elsewhere.test\""
        echo "prop $address_set:0x804C:0003 1"
    done
}

# ---- favourite public folders ----------------------------------------------------------------------------

favourite() { # name, source key, parent's source key
    printf 'item @shortcuts\nprop Class IPM.Note\nprop 7C00001F "%s"\nprop 7C020102 %s\n' "$1" "$2"
    printf 'prop 7D030003 2\nprop 7D09001F IPF.Note\nprop 7D020102 %s\n' "$3"
}
favourite_content() {
    echo '[mailbox source/alice]'
    favourite public sk:public:Company/News sk:public:Company
    favourite gone sk:public:Company/Gone sk:public:Company
    favourite unknown 00112233445566778899aabbccddeeff001122334455 sk:public:Company
    favourite copied sk:public:Company sk:public:Company
    echo '[mailbox target/alice]'
    favourite copied sk:source/public:Company sk:source/public:Company
    favourite 'only at the target' sk:public:Company/News sk:public:Company
}

world_content() {
    people
    folders
    pane_content
    rule_content
    search_content
    delegate_content
    nick_content
    contact_content
    favourite_content
}

# ---- the profile and its files -------------------------------------------------------------------------

# All of ids.json at once; jq for each of a hundred ids would take longer than the update.
declare -A known_ids
know_ids() {
    while IFS=$'\t' read -r path value; do known_ids[$path]=$value; done < <(jq -r \
        'paths(strings) as $p | "." + ($p | join(".")) + "\t" + getpath($p)' "$WORK/ids.json")
}
known_id() { echo "${known_ids[$1]}"; }
folder_id() { known_id ".$1.folders.$2"; }
box_of() { echo "$(pair source.$1);$(known_id .source.$1.display);$(known_id .source.$1.guid)"; }
pair() { echo "$(known_id .$1.smtp);$(known_id .$1.dn)"; }

world_profile() { # width, version
    a=source.alice
    "$BUILD/cpuu-mkprofile" width="$1" version="$2" profile=Outlook user='C:\Users\alice' \
        smtp="$(known_id .$a.smtp)" dn="$(known_id .$a.dn)" guid="$(known_id .$a.guid)" name="$(known_id .$a.display)" \
        inbox="$(folder_id $a @inbox)" pst="$pst_path" pstname='My old mail' \
        named='My mail' favorites='My favorites' allpublic='My public folders' \
        box= box="$(box_of bob)" box="$(box_of carol);Carol, sales" box="$(box_of eve)" \
        box="zoe@source.test;$(dn Source zoe);Zoe Zebra;$zoe_guid" \
        box="$(known_id .target.tina.smtp);$(known_id .target.tina.dn);Tina Target;$(known_id .target.tina.guid)" \
        contacts= contacts="own;$(folder_id $a @contacts/Own)" contacts="gone;$(folder_id $a @contacts/Gone)" \
        contacts="bob;$(folder_id source.bob @contacts);$(pair source.bob)" \
        contacts="carol;$(folder_id source.carol @contacts);$(pair source.carol)" \
        contacts="eve;$(folder_id source.eve @contacts);$(pair source.eve)" \
        contacts="zoe;$zoe_folder;zoe@source.test;$(dn Source zoe)" \
        contacts="public;$(folder_id 'source.(public)' Company/News);store;$(known_id '.source.(public).store')" \
        contacts="pst;pst;$pst_path" \
        contacts="there;$(folder_id target.alice @contacts);$(pair target.alice)" \
        contacts="tina;$(folder_id target.tina @contacts);$(pair target.tina)" \
        move= move="own;$(folder_id $a @inbox/Own)" move="gone;$(folder_id $a @inbox/Gone)" \
        move="bob;$(folder_id source.bob @inbox);$(pair source.bob)" \
        move="carol;$(folder_id source.carol @inbox);$(pair source.carol)" \
        move="eve;$(folder_id source.eve @inbox);$(pair source.eve)" \
        move="zoe;$zoe_folder;zoe@source.test;$(dn Source zoe)" \
        move="public;$(folder_id 'source.(public)' Company/News);store;$(known_id '.source.(public).store')" \
        move="pst;pst;$pst_path" \
        move="there;$(folder_id target.alice @inbox/Own);$(pair target.alice)" \
        move="tina;$(folder_id target.tina @inbox);$(pair target.tina)" \
        other= other='Bob Brown' other='Carol Clark' other='Eve Elder' other='Zoe Zebra' other='Tina Target' \
        windows=1 remembered="$(store_eid "$(known_id .source.bob.smtp)" "$(known_id .source.bob.dn)" 08)" \
        remembered="$(store_eid "$(known_id .source.carol.smtp)" "$(known_id .source.carol.dn)" 08)" \
        remembered="$zoe_store" remembered="$(known_id '.source.(public).store')" \
        remembered="$(store_eid "$(known_id .target.tina.smtp)" "$(known_id .target.tina.dn)" 08)" \
        book="$list_of_source" pab="$(folder_id $a @contacts/Own)" \
        >"$WORK/profile.reg" || die "cpuu-mkprofile failed"
}

nav_store() { # number, store
    printf '<storeblock><eidstore>%s</eidstore><storeid>%s</storeid></storeblock>\r\n' "$(echo "$2" | tr a-f A-F)" "$1"
}
nav_link() { # name, number of store, EntryID, record key
    printf '<wdLnk><ltype>shortcut</ltype><storeid>%s</storeid><reckey>%s</reckey><eid>%s</eid><name>%s</name></wdLnk>\r\n' \
        "$2" "$(echo "${4:-$3}" | tr a-f A-F)" "$(echo "$3" | tr a-f A-F)" "$1"
}
world_navigation() {
    n=0 stores=
    for who in source.alice source.bob source.carol source.eve target.alice target.tina; do
        n=$((n + 1))
        stores="$stores$(nav_store $n "$(store_eid "$(known_id .$who.smtp)" "$(known_id .$who.dn)" 08)")"
    done
    printf '<?xml version="1.0"?>\r\n<wundbar>\r\n<stores>\r\n%s' "$stores"
    nav_store 7 "$zoe_store"
    nav_store 8 "$(known_id '.source.(public).store')"
    nav_store 9 "$pst_store"
    printf '</stores>\r\n<userdefined><linkgroup name="Group" clsid="20CE183835725344923D743485E3C4E3">\r\n'
    nav_link own 1 "$(folder_id source.alice @inbox/Own)"
    nav_link gone 1 "$(folder_id source.alice @inbox/Gone)"
    nav_link bob 2 "$(folder_id source.bob @calendar)"
    nav_link carol 3 "$(folder_id source.carol @calendar)"
    nav_link eve 4 "$(folder_id source.eve @calendar)"
    nav_link there 5 "$(folder_id target.alice @inbox/Own)"
    nav_link tina 6 "$(folder_id target.tina @calendar)"
    nav_link zoe 7 $zoe_folder
    nav_link public 8 "$(folder_id 'source.(public)' Company/News)"
    nav_link pst 9 $pst_folder 01020304
    printf '</linkgroup></userdefined>\r\n<unknown/>\r\n</wundbar>\r\n'
}
world_groups() {
    "$BUILD/cpuu-mksrs" "$(folder_id source.alice @inbox)" "$(folder_id source.alice @inbox/Gone)" \
        "$(folder_id source.bob @inbox)" "$(folder_id source.carol @inbox)" "$(folder_id source.eve @inbox)" \
        $zoe_folder "$(folder_id 'source.(public)' Company/News)" $pst_folder \
        "$(folder_id target.alice @inbox/Own)" "$(folder_id target.tina @inbox)"
}

# A fresh profile of alice at $HIVE with its files: [width [version]]
world_hive() {
    ROAMING=$(dirname "$HIVE")/AppData/Roaming/Microsoft/Outlook
    rm -rf "$(dirname "$HIVE")"
    mkdir -p "$ROAMING" "$(dirname "$HIVE")/AppData/Local/Microsoft/Outlook"
    world_profile "${1:-8}" "${2:-16.0}"
    "$BUILD/cpuu-mkhive" "$HIVE" "$WORK/profile.reg" || die "cpuu-mkhive failed"
    world_navigation >"$ROAMING/Outlook.xml"
    world_groups >"$ROAMING/Outlook.srs"
}
