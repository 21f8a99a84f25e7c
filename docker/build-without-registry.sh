#!/usr/bin/env bash
# build-without-registry.sh DIR: the images where none can be pulled, on a Debian with docker.io and debootstrap, as root. Bases are
# made by debootstrap in DIR and imported; Node 24 comes from node_modules ("npm ci" first); PostgreSQL 18 is Debian's own, of
# SUITE. Needs a running dockerd (DOCKER_HOST says where), such as:
#
#   dockerd --iptables=false --bridge=none --storage-driver=vfs --data-root DIR/data --exec-root DIR/exec -H unix://DIR/docker.sock
#
# overlay2 in place of vfs takes 6 minutes in place of 30, where the kernel has it. KEYRING= is of a Debian that knows SUITE.
# Then: docker/run-without-registry.sh DIR
set -euo pipefail
DIR=$(mkdir -p "${1:?usage: build-without-registry.sh DIR}" && cd "$1" && pwd)
SUITE=${SUITE:-forky} MIRROR=${MIRROR:-http://deb.debian.org/debian}
cd "$(dirname "$0")/.."

base() { # SUITE: the smallest Debian, in DIR/SUITE
  [ ! -e "$DIR/$1.made" ] || return 0
  rm -rf "${DIR:?}/$1"
  # A debootstrap that is older than the suite has no script of that name, but that of the unstable Debian.
  local script=$1
  [ -e "/usr/share/debootstrap/scripts/$1" ] || script=sid
  debootstrap --variant=minbase --include=ca-certificates ${KEYRING:+--keyring="$KEYRING"} "$1" "$DIR/$1" "$MIRROR" "$script" > "$DIR/$1.log"
  # As this machine's apt: its proxy, and whether its mirror may be old.
  apt-config dump | grep -E '^Acquire::(http|https|Check-)' > "$DIR/$1/etc/apt/apt.conf.d/50host" || true
  rm -rf "$DIR/$1/var/cache/apt/archives"/*.deb
  touch "$DIR/$1.made"
}

base "$SUITE"
base bookworm
npm_home=$(cd "$(dirname "$(readlink -f "$(command -v npm)")")/.." && pwd)
node_base=$DIR/node-base
if [ ! -e "$DIR/node-base.made" ]; then
  rm -rf "$node_base"
  cp -a --reflink=auto "$DIR/$SUITE" "$node_base"
  mkdir -p "$node_base/usr/local/lib/node_modules"
  cp node_modules/node/bin/node "$node_base/usr/local/bin/node"
  cp -a "$npm_home" "$node_base/usr/local/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$node_base/usr/local/bin/npm"
  touch "$DIR/node-base.made"
fi
# Where something in between has a certificate of its own, npm in the image must trust it as we do.
trust=()
if [ -n "${NODE_EXTRA_CA_CERTS:-}" ]; then
  cp -L "$NODE_EXTRA_CA_CERTS" "$node_base/etc/ssl/certs/of-the-builder.pem"
  trust=(--change 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/of-the-builder.pem')
fi
tar -C "$node_base" -c . | docker import "${trust[@]}" - postbox-base:node24 > /dev/null
tar -C "$DIR/bookworm" -c . | docker import - postbox-base:bookworm > /dev/null

build() { # TARGET TAG [--build-arg …]: with the host's network, for there is no other
  local target=$1 tag=$2
  shift 2
  DOCKER_BUILDKIT=0 docker build --network host -f docker/Dockerfile --target "$target" -t "$tag" --build-arg PG_SOURCE=debian \
    --build-arg BASE=postbox-base:node24 --build-arg S3_BASE=postbox-base:bookworm "$@" .
}
build s3 postbox-s3
build worker postbox-worker
build keyholder postbox-keyholder --build-arg PG_SERVERS=18

