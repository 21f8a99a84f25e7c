#!/usr/bin/env bash
# install.sh LOCK: the Debian packages of a one-node Ceph (about 65 MB to fetch). Two at once wait for each other on LOCK.
set -euo pipefail
exec 9> "${1:?usage: install.sh LOCK}"
flock 9
for program in ceph ceph-mon ceph-osd monmaptool radosgw radosgw-admin curl; do
  command -v "$program" > /dev/null || missing=1
done
[ -n "${missing:-}" ] || exit 0

as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo -n)
"${as_root[@]}" apt-get -qq -o Acquire::Check-Valid-Until=false update >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
  install --no-install-recommends ceph-common ceph-mon ceph-osd radosgw curl >&2
