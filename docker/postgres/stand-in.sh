#!/bin/sh
# In place of the official image of PostgreSQL where that cannot be pulled: as much of its entrypoint as compose.yaml uses.
set -eu
export PGDATA=/var/lib/postgresql/18/docker PATH="/usr/lib/postgresql/18/bin:$PATH"
if [ ! -e "$PGDATA/PG_VERSION" ]; then
  initdb -U postgres --auth-local=trust --auth-host=scram-sha-256 --pwfile="$POSTGRES_PASSWORD_FILE" -D "$PGDATA"
  # The official image trusts these.
  sed -i -E '/^host .*(127|::1)/s/scram-sha-256/trust/' "$PGDATA/pg_hba.conf"
  printf "host all all all scram-sha-256\n" >> "$PGDATA/pg_hba.conf"
  pg_ctl -D "$PGDATA" -w -o "-c listen_addresses='' -k /var/run/postgresql" start
  for script in /docker-entrypoint-initdb.d/*.sh; do PGHOST=/var/run/postgresql "$script"; done
  pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql
