#!/bin/sh
# The command "postbox": Node and cli.js, which lies beside this file. Postgres starts "postbox archive-wal PATH" for every
# segment, so that one goes to archive-wal.pl first: it asks the running worker in less time than Node needs to start.
#
# "npm run build" joins the two into dist/postbox. One file, because Perl then needs no help to find its part of it.

if [ $# -eq 2 ] && [ "$1" = archive-wal ] && command -v perl > /dev/null; then
  # The plain locale starts sooner, and says nothing of one that is not installed.
  LC_ALL=C perl -x "$0" "$PWD" "$2"
  case $? in
    # Codes of its own: a Perl that did nothing at all ends with 0.
    80) exit 0 ;;
    81) exit 1 ;;
  esac
fi

# npm puts a link to this file on the path.
at=$0
while [ -L "$at" ]; do
  to=$(readlink "$at") || exit 1
  case $to in
    /*) at=$to ;;
    *) at=${at%/*}/$to ;;
  esac
done
case $1 in
  # V8 would let 48 MiB of short-lived objects gather. What is large with the worker lies outside of its heap: there malloc would
  # keep a part of each size free for each of its threads.
  worker)
    MALLOC_ARENA_MAX=${MALLOC_ARENA_MAX:-2}
    export MALLOC_ARENA_MAX
    exec node --max-semi-space-size=1 "${at%/*}/cli.js" "$@"
    ;;
  # It would look through all of its heap each time that some tens of megabytes of rows have passed by.
  restore-dump) exec node --initial-old-space-size=128 "${at%/*}/cli.js" "$@" ;;
esac
exec node "${at%/*}/cli.js" "$@"

