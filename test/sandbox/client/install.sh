#!/usr/bin/env bash
# install.sh DIR: pg_dump and psql of Postgres 18 (and what comes with them), pg_checksums and zstd, in DIR/bin, from packages of a newer Debian that
# are only unpacked there, about 40 MB. No root. Two at once wait for each other. A mirror that lags behind will do.
set -euo pipefail
DIR=${1:?usage: install.sh DIR}; SUITE=${SUITE:-forky}
mkdir -p "$DIR"; DIR=$(cd "$DIR" && pwd)
exec 9> "$DIR/lock"
flock 9
if [ ! -e "$DIR/done-3" ]; then
  mirror=$(grep -rhoE '(URIs: *|^deb +(\[[^]]*\] +)?)https?://[^ ]+' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
    grep -oE 'https?://[^ ]+' | grep -E '/debian/?$' | head -n 1) || true
  [ -n "$mirror" ] || { echo "install.sh: no Debian mirror in apt's sources" >&2; exit 1; }
  rm -rf "$DIR"/{lists,cache,debs,root,bin}
  mkdir -p "$DIR"/{lists/partial,cache/archives/partial,debs,root,bin}
  echo "deb $mirror $SUITE main" > "$DIR/sources.list"
  apt=(apt-get -qq -o Dir::Etc::sourcelist="$DIR/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$DIR/lists"
       -o Dir::Cache="$DIR/cache" -o APT::Sandbox::User=root -o Acquire::Check-Valid-Until=false)
  "${apt[@]}" update >&2
  (cd "$DIR/debs" && "${apt[@]}" download postgresql-client-18 postgresql-18 zstd liblzma5 libpq5 libc6 libssl3t64 libzstd1 liblz4-1 zlib1g libgssapi-krb5-2 libldap2 \
     libkrb5-3 libk5crypto3 libcom-err2 libkrb5support0 libkeyutils1 libsasl2-2 libreadline8t64 libtinfo6 libgcc-s1 >&2)
  for deb in "$DIR"/debs/*.deb; do
    case $deb in */postgresql-18_*) ;; *) dpkg -x "$deb" "$DIR/root" ;; esac
  done
  # Of the server's programs this one alone; the others are those under test.
  dpkg-deb --fsys-tarfile "$DIR"/debs/postgresql-18_*.deb | tar -x -C "$DIR/root" --wildcards '*/bin/pg_checksums'
  loader=$(find "$DIR/root" -name 'ld-linux-*.so.*' | head -n 1)
  libs=$(dirname "$(find "$DIR/root" -name 'libpq.so.5' | head -n 1)")
  for program in "$DIR"/root/usr/lib/postgresql/18/bin/* "$DIR/root/usr/bin/zstd"; do
    printf '#!/bin/sh\nexec "%s" --library-path "%s" --argv0 "$0" "%s" "$@"\n' "$loader" "$libs" "$program" > "$DIR/bin/$(basename "$program")"
    chmod 755 "$DIR/bin/$(basename "$program")"
  done
  rm -rf "$DIR/debs" "$DIR/lists" "$DIR/cache"
  touch "$DIR/done-3"
fi
echo "$DIR/bin"
