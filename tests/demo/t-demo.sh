#!/bin/bash
# demo.sh with the programs of the build at hand. Its lines become "PASS: demo ..." and "FAIL: demo ...".
for tool in reglookup jq; do
    command -v $tool >/dev/null || { echo "SKIP: demo: $tool is not installed"; exit 77; }
done
BUILD=${BUILD:-$PWD} "${srcdir:-.}/demo.sh" >demo.out 2>&1 </dev/null
status=$?
sed -n 's/^  ok *+* */PASS: demo /p; s/^  WRONG */FAIL: demo /p' demo.out
[ $status -eq 0 ] || { echo "FAIL: demo: it ends with status $status"; tail -5 demo.out; }
rm -f demo.out
exit $status
