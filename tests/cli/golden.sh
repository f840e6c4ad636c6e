#!/bin/sh
# The command line against golden files: standard output, standard error and exit status of each case
# in cases.txt must equal <case>.ok. With UPDATE=1 the golden files are written instead; read the
# difference before you commit it. Needs nothing but the program and a shell.
here=${srcdir:-.}/tests/cli
here=$(cd "$here" && pwd) || exit 1
program=${CPUU:-$(pwd)/cpuu}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cp -r "$here/data/." "$work" && chmod -R u+w "$work" && cd "$work" || exit 1
chmod 600 ./*.ini
set -f # "-?" is not a pattern
failed=0 passed=0

# $1 = name, the rest = arguments
run_case()
{
    name=$1
    shift
    "$program" "$@" >out 2>err </dev/null
    status=$?
    { echo "\$ cpuu $*"; sed 's/ [0-9]*\.[0-9]*\.[0-9]*$/ VERSION/' out; sed 's/^/stderr: /' err
      echo "status: $status"; } >result
    rm -f out err
    if [ -n "$UPDATE" ]; then
        cp result "$here/$name.ok"
    elif diff -u "$here/$name.ok" result; then
        passed=$((passed + 1))
        echo "PASS: cli $name"
    else
        failed=$((failed + 1))
        echo "FAIL: cli $name"
    fi
}

while read -r name arguments; do
    case $name in '' | '#'*) continue ;; esac
    # shellcheck disable=SC2086 # arguments are words
    run_case "$name" $arguments
done <"$here/cases.txt"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
