# Compares links (links.jq) with what was expected of them, link by link: a line of the table for each, "ok" or
# "WRONG", and one for each link nobody expected. Arguments: $expected, text; $before, $after, files.

def width: if . >= 11904 and . < 65500 then 2 else 1 end; # East Asian characters
def pad($n): . + " " * ($n - ([explode[] | width] | add // 0)) // .;
def cut($n): if length > $n then .[:$n - 1] + "…" else . end;
# A person by address, a folder by its owner: which side it is on is said by the column.
def short: gsub("(?<side>source|target) (?<who>[a-z]+)(?![a-z:])"; "\(.who)@\(.side).test")
    | gsub("unknown zoe(?!:)"; "zoe@source.test") | gsub("(source|target|unknown) "; "")
    | gsub("\\(public\\): "; "public: ");

def expectations: [$expected | split("\n")[] | select(test("^[^#]*[|]")) | [splits(" *[|] *")]
    | {feature: (.[0] | ltrimstr("+")), more: (.[0] | startswith("+")), link: (.[1] | split(" = ")[0]),
       new_link: (.[1] | split(" = ")[-1]), before: .[2], after: .[3], why: .[4]}];
def was: {feature, link, object: .before};
def is: {feature, link: .new_link, object: .after};

def right: . as $want | ($before[0] | index([$want | was]))
    and if .after == "" then all($after[0][]; del(.object) != ($want | is | del(.object)))
        else $after[0] | index([$want | is]) end;
def columns($feature; $link; $before; $after): "\($feature | pad(17)) \($link | cut(20) | pad(20)) "
    + "\($before | cut(30) | pad(30)) \($after)";

expectations as $want
| columns("feature"; "link"; "led to, at the source"; "   now leads to, at the target") | "        \(.)",
  (foreach $want[] as $w ({}; {last: .feature, feature: $w.feature}; . as $at | $w
    | "  \(if right | not then "WRONG" elif .more then "ok  +" else "ok   " end) "
      + columns(if $at.last == .feature then "" else .feature end; .link; .before | short;
          "-> \(.why // (.after | short | cut(38)))"))),
  ((($before[0] - [$want[] | was])[] | .when = "before"), (($after[0] - [$want[] | is])[] | .when = "after")
    | "  WRONG \(.feature | pad(17)) \(.link | pad(20)) not expected \(.when): \(.object)")
