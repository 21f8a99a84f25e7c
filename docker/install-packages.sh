#!/bin/sh
# install-packages.sh SOURCE PACKAGE…: Debian packages and nothing that they merely recommend. SOURCE is "pgdg" for PostgreSQL's
# own (apt.postgresql.org, all major versions) or "debian" for what this Debian has.
set -eu
source=$1
shift
case $source in
  pgdg)
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    key=/usr/share/postgresql-common/pgdg/apt.postgresql.org.asc
    # Packages are checked by their signature, so that plain HTTP does.
    echo "deb [signed-by=$key] http://apt.postgresql.org/pub/repos/apt $codename-pgdg main" > /etc/apt/sources.list.d/pgdg.list
    ;;
  debian) ;;
  *)
    echo "install-packages.sh: no such source of packages: $source" >&2
    exit 1
    ;;
esac

# A server's package would otherwise make a database cluster in the image.
mkdir -p /etc/postgresql-common
echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
rm -rf /var/lib/apt/lists/*
