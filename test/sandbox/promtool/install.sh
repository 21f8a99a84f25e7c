#!/usr/bin/env bash
# install.sh DIR: Debian's promtool as DIR/promtool, from a package that is only unpacked, about 20 MB to fetch. No root.
# Two at once wait for each other.
set -euo pipefail
DIR=${1:?usage: install.sh DIR}
mkdir -p "$DIR"; DIR=$(cd "$DIR" && pwd)
exec 9> "$DIR/lock"
flock 9
if [ ! -e "$DIR/done" ]; then
  rm -rf "$DIR"/{lists,cache,debs,promtool}
  mkdir -p "$DIR"/{lists/partial,cache/archives/partial,debs}
  apt=(apt-get -qq -o Dir::State::lists="$DIR/lists" -o Dir::Cache="$DIR/cache" -o APT::Sandbox::User=root -o Debug::NoLocking=1)
  "${apt[@]}" update >&2
  (cd "$DIR/debs" && "${apt[@]}" download prometheus >&2)
  dpkg-deb --fsys-tarfile "$DIR"/debs/prometheus_*.deb | tar -x -C "$DIR" --strip-components=3 ./usr/bin/promtool
  "$DIR/promtool" --version >&2
  rm -rf "$DIR/debs" "$DIR/lists" "$DIR/cache"
  touch "$DIR/done"
fi
echo "$DIR/promtool"
