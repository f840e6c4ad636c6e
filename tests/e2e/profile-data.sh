# A user of the demo content with links of every kind in the profile and in the files beside it, before the
# move and as they must be after it, written by generators that share nothing with cpuu. Sourced after
# lib.sh; needs a running lab.

folder() { id ".$1.folders[\"$2\"]"; }
hex() { printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n'; }
upper() { tr 'a-f' 'A-F'; }

# [MS-OXCDATA] 2.2.4.3 with the block of Outlook 2013 and later: SMTP address, DN, type.
store() {
    printf '%s' 0000000038a1bb1005e5101aa1bb08002b2a56c20000454d534d44422e444c4c00000000
    printf '%s' 000000001b55fa20aa6611cd9bc800aa002fc45a"$3"000000
    printf '%s' "$(hex "$1")00$(hex "$2")00e94632f4"
    printf '%02x0000000200000010000000' $((16 + 2 * ${#1} + 4))
    printf '%s' "$(hex "$1" | sed 's/../&00/g')00000000"
}
store_of() { store "$(id ".$1.smtp")" "$(id ".$1.dn")" "$2"; }

zoe=$(store zoe@source.test /o=SourceOrg/cn=Recipients/cn=zoe 08)
nobody=00000000$(printf '%032d' 7)0100$(printf '%032d' 8)00000000002a0000
pst_store=0000000038a1bb1005e5101aa1bb08002b2a56c200006d737073742e646c6c00000000004e495441f9bfb80100aa0037d96e0000000043003a005c0061002e0070007300740000000000
pst_folder=00000000$(printf '%032d' 9)82800000

block() { # number, store
    printf '\t\t<storeblock>\r\n\t\t\t<eidstore>%s</eidstore>\r\n' "$(echo "$2" | upper)"
    printf '\t\t\t<storeid>%s</storeid>\r\n\t\t\t<crawledIn12>1</crawledIn12>\r\n\t\t</storeblock>\r\n' "$1"
}
shortcut() { # name, number of store, record key, EntryID
    printf '\r\n\t\t\t<wdLnk>\r\n\t\t\t\t<ltype>shortcut</ltype>\r\n\t\t\t\t<storeid>%s</storeid>\r\n' "$2"
    printf '\t\t\t\t<icondata></icondata>\r\n\t\t\t\t<reckey>%s</reckey>\r\n' "$(echo "$3" | upper)"
    printf '\t\t\t\t<eid>%s</eid>\r\n' "$(echo "$4" | upper)"
    printf '\t\t\t\t<clsid>0078060000000000C000000000000046</clsid>\r\n\t\t\t\t<name>%s</name>\r\n' "$1"
    printf '\t\t\t\t<lId>9b5f29913f1dfc48b12f0b9232119c0e</lId>\r\n\t\t\t</wdLnk>'
}
web_link() {
    printf '\r\n\t\t\t<wdLnk><ltype>shortcut</ltype><reckey></reckey><eid>%s</eid>' 680074007400700000
    printf '<clsid>86F0060000000000C000000000000046</clsid><name>Büro &amp; mehr</name></wdLnk>'
}

# The navigation file: side of alice, side of bob, whether the shortcut without a target is there, one for
# each further store, in that order: own, bob, carol, PST, nobody, public.
pane() {
    me=$1 bob=$2 all=$3
    printf '<?xml version="1.0"?>\r\n<!-- kept -->\r\n<wundbar>\r\n\t<initMail>1</initMail>\r\n'
    printf '\t<version>1614326</version>\r\n\t<stores>\r\n'
    block 1 "$(store_of $me 0c)"
    block 2 "$(store_of $bob 08)"
    block 3 "$(store_of source.carol 08)"
    block 4 "$pst_store"
    block 5 "$zoe"
    block 6 "$public"
    printf '\t</stores>\r\n\t<userdefined>\r\n\t\t<linkgroup name="Моё" clsid="20CE183835725344923D743485E3C4E3">'
    if [ "$all" != none ]; then
        shortcut 'Outlook Today' 1 "$(id .$me.guid)" "$(store_of $me 0c)"
        shortcut Projects 1 "$(folder $me @inbox/Projects)" "$(folder $me @inbox/Projects)"
        [ "$all" = all ] && shortcut Gone 1 "$(folder $me "@inbox/Only at the source")" "$(folder $me "@inbox/Only at the source")"
        shortcut 'Bobs Kalender' 2 "$(folder $bob @calendar)" "$(folder $bob @calendar)"
        shortcut "Carol" 3 "$(folder source.carol @calendar)" "$(folder source.carol @calendar)"
        shortcut PST 4 01020304 "$pst_folder"
        shortcut Zoe 5 "$nobody" "$nobody"
        shortcut News 6 "$news" "$news"
        web_link
    fi
    printf '\r\n\t\t</linkgroup>\r\n\t</userdefined>\r\n\t<unknown a="1"/>\r\n</wundbar>\r\n'
}

groups() { # side of alice, side of bob
    "$BUILD/cpuu-mksrs" "$(folder $1 @inbox)" "$(folder $1 @calendar)" "$(folder source.alice '@inbox/Only at the source')" \
        "$(folder $2 @inbox)" "$(folder source.carol @inbox)" "$nobody"
}

# Sets public and news, the store and one folder. After the move a store is named by the server that opened it:
# the one that holds the mailbox.
public_folders() { # organisation
    public=$(id ".$1.\"(public)\".store")
    [ "$1" = target ] && public=$(echo "$public" | cut -c1-120)$(id .target.alice.store | cut -c121-218)
    news=$(id ".$1.\"(public)\".folders[\"Company/News\"]")
}

pst='C:\Users\alice\Documents\Old mail.pst'

# A hive with links of every kind in its lists.
make_full_hive() { # hive, descriptor width, Outlook version
    public_folders source
    make_hive "$@" pst="$pst" pstname='My old mail' \
        windows=1 named='Meine Post' favorites='Beliebte' allpublic='Alle Ordner' \
        box= box="$(person bob);Bob, sales" box="$(person carol)" \
        move= move="Projects;$(folder source.alice @inbox/Projects)" \
        move="Only at the source;$(folder source.alice '@inbox/Only at the source')" \
        move="Клиенты;$(folder source.alice @contacts/Клиенты)" \
        move="Bob's calendar;$(folder source.bob @calendar);$(id .source.bob.smtp);$(id .source.bob.dn)" \
        move="Carol's calendar;$(folder source.carol @calendar);$(id .source.carol.smtp);$(id .source.carol.dn)" \
        move="Zoe;$nobody;zoe@source.test;/o=SourceOrg/cn=Recipients/cn=zoe" \
        move="News;$news;store;$public" move="Old;pst;$pst" \
        other= other='Bob Brown' other='Carol Clark' other='Zoe Zebra'
}
