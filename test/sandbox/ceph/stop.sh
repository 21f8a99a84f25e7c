#!/usr/bin/env bash
# stop.sh DIR: ends the daemons that start.sh started in DIR, by their numbers, the gateway first. DIR stays.
set -uo pipefail
DIR=$(cd "${1:?usage: stop.sh DIR}" 2> /dev/null && pwd) || exit 0
# A number may have passed on to another program: only a process with this DIR's configuration is ours.
ours() { tr '\0' ' ' < "/proc/$1/cmdline" 2> /dev/null | grep -qF -- "$DIR/ceph.conf"; }
for name in rgw osd mon; do
  pid=$(cat "$DIR/$name.pid" 2> /dev/null) || continue
  if ours "$pid"; then
    # Nothing of it is to be kept, so it need not end in order.
    kill -KILL "$pid" 2> /dev/null
    for _ in $(seq 100); do ours "$pid" || break; sleep 0.05; done
  fi
  rm -f "$DIR/$name.pid"
done
exit 0
