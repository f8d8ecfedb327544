#!/usr/bin/env bash
# A database that can't be written, and a disk that is full; work goes on once there is room.
. "$(dirname "$0")/lib.sh"
document 5 first > first.json
run 0 index first.json
document 400 second > second.json

# Root may write everything: another user then.
if [ "$(id -u)" -eq 0 ]; then
  if ! command -v setpriv > /dev/null; then
    echo "SKIPPED: this is root, and there is no setpriv to become someone else"
    exit 77
  fi
  chmod 755 . && chmod 644 embedjobs.db
  as_other() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
else
  chmod 555 . && chmod 444 embedjobs.db
  as_other() { "$@"; }
fi
cp "$EMBEDJOBS" "$work/program" 2> /dev/null || true
program=$EMBEDJOBS
as_other test -x "$program" || program=$work/program
exit=0
as_other "$program" index second.json > /tmp/out.$$ 2> /tmp/err.$$ < /dev/null || exit=$?
lines=$(wc -l < /tmp/err.$$)
message=$(cat /tmp/err.$$)
rm -f /tmp/out.$$ /tmp/err.$$
equal "$exit" 1 "exit code with a read-only database ($message)"
equal "$lines" 1 "lines about a read-only database ($message)"
chmod 755 . && chmod 644 embedjobs.db
run 0 verify default

mkdir small
if ! mount -t tmpfs -o size=600k tmpfs small 2> /dev/null; then
  echo "left out: a small file system can't be mounted here"
  exit 0
fi
trap 'umount "$work/small"; finish' EXIT
run 0 index first.json --db sqlite:small/e.db
run 0 export default first --json --db sqlite:small/e.db
cp out before
exit=0
"$EMBEDJOBS" index second.json --db sqlite:small/e.db --max-wait 1s > out 2> err || exit=$?
case $exit in
  1 | 75) ;;
  *) fail "exit code $exit with a full disk" ;;
esac
run 0 export default first --json --db sqlite:small/e.db
cmp -s before out || fail "a full disk harmed what was stored"
mount -o remount,size=64m small
run 0 index second.json --db sqlite:small/e.db
run 0 verify default --db sqlite:small/e.db
