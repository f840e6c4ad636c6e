#!/bin/sh
# A new plugin from the template builds outside the tree, and the checker tells good from bad.
set -eu
src=${srcdir:-.}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: plugin-sdk: $*"; exit 1; }

"$src/sdk/template/new-plugin.sh" MyLinks "$work/my" > /dev/null || fail "new-plugin.sh"
grep -q '"MyLinks"' "$work/my/plugin.c" || fail "the feature was not renamed"
! grep -rqi example "$work/my" || fail "the template's name is left over"
"$src/sdk/template/new-plugin.sh" MyLinks "$work/my" 2> /dev/null && fail "overwrites a folder"
"$src/sdk/template/new-plugin.sh" 'bad-name' "$work/bad" 2> /dev/null && fail "accepts a bad name"

check=$PWD/cpuu-plugin-check
make -s -C "$work/my" CPUU_CFLAGS="-I$(cd "$src" && pwd)/sdk/include" CHECK="$check" check \
    > "$work/out" 2>&1 || { cat "$work/out"; fail "the template does not pass"; }
grep -q '^ok .*declares itself well' "$work/out" || fail "the checker did not look at the data"

"$check" --quiet .libs/mock-good.so .libs/mock-future.so > /dev/null || fail "a good plugin is refused"
for bad in foreign nulls refuses unbound; do
    "$check" ".libs/mock-$bad.so" > "$work/out" && fail "mock-$bad passes"
    grep -q '^not ok' "$work/out" || fail "mock-$bad: no finding"
done

# The plugins of this tree keep the rules, too.
for plugin in plugins/run/*.so; do
    [ ! -e "$plugin" ] || "$check" --quiet "$plugin" || fail "$plugin does not keep the rules"
done

# Each forbidden thing by itself, and one export too many.
for call in 'fork()' 'system("x")' 'open("x", 0)' 'socket(1, 1, 0)' 'time(0)' 'getenv("x")'; do
    cat > "$work/evil.c" << C
#include <stdlib.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
#include <sys/socket.h>
#include "mock.h"
static cpuu_rc CPUU_CALL update(const cpuu_host *h, cpuu_run *run)
{
    (void)h; (void)run;
    return ($call) != 0;
}
static const cpuu_feature f = MOCK_FEATURE("Evil", 0, 0, update);
MOCK_PLUGIN(CPUU_ABI_VERSION, &f)
C
    ${CC:-cc} -shared -fPIC -fvisibility=hidden -w -I"$src/sdk/include" -I"$src/tests/mock" \
        -Dcpuu_plugin_query='__attribute__((visibility("default"))) cpuu_plugin_query' \
        -o "$work/evil.so" "$work/evil.c" 2> "$work/cc" || { cat "$work/cc"; fail "cannot build evil.c"; }
    "$check" "$work/evil.so" > "$work/out" && fail "$call passes"
    grep -q "not ok.*imports only.*${call%%(*}" "$work/out" || { cat "$work/out"; fail "$call is not named"; }
done
echo "PASS: plugin-sdk"
