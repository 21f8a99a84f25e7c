#!/usr/bin/env bash
# install.sh DIR: Debian's headless Chromium in DIR, started by DIR/chromium, and a font. They and what they need and this machine lacks
# are only unpacked there, about 60 MB to fetch. No root. Two at once wait for each other.
set -euo pipefail
DIR=${1:?usage: install.sh DIR}
mkdir -p "$DIR"; DIR=$(cd "$DIR" && pwd)
exec 9> "$DIR/lock"
flock 9
if [ ! -e "$DIR/done" ]; then
  rm -rf "$DIR"/{lists,cache,debs,root,chromium}
  mkdir -p "$DIR"/{lists/partial,cache/archives/partial,debs,root}
  apt=(apt-get -qq -o Dir::State::lists="$DIR/lists" -o Dir::Cache="$DIR/cache" -o APT::Sandbox::User=root -o Debug::NoLocking=1)
  "${apt[@]}" update >&2
  missing=$("${apt[@]}" -s install --no-install-recommends chromium-headless-shell fonts-dejavu-core | sed -n 's/^Inst \([^ ]*\).*/\1/p')
  [ -n "$missing" ] || { echo "install.sh: apt knows no chromium-headless-shell" >&2; exit 1; }
  # shellcheck disable=SC2086
  (cd "$DIR/debs" && "${apt[@]}" download $missing >&2)
  for deb in "$DIR"/debs/*.deb; do dpkg -x "$deb" "$DIR/root"; done
  program=$(find "$DIR/root/usr/lib" -name chromium-headless-shell -type f | head -n 1)
  libs=$(find "$DIR/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
  # Without any font no text has a width.
  dirs=$(printf '<dir>%s</dir>' /usr/share/fonts "$DIR/root/usr/share/fonts")
  printf '<?xml version="1.0"?>\n<fontconfig>%s<cachedir>%s</cachedir></fontconfig>\n' "$dirs" "$DIR/fontcache" > "$DIR/fonts.conf"
  printf '#!/bin/sh\nFONTCONFIG_FILE="%s" LD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$DIR/fonts.conf" "$libs" "$program" > "$DIR/chromium"
  chmod 755 "$DIR/chromium"
  "$DIR/chromium" --no-sandbox --version >&2
  rm -rf "$DIR/debs" "$DIR/lists" "$DIR/cache"
  touch "$DIR/done"
fi
echo "$DIR/chromium"
