#!/bin/sh
# Run once by the official image of PostgreSQL, when it has made the cluster: the login of the worker, with its password, and its
# lines in pg_hba.conf. "postbox install" gives the role what else it needs.
set -eu
psql -v ON_ERROR_STOP=1 -U postgres -d postgres -v password="$(cat /secrets/worker-password)" <<'SQL'
create role postbox login replication password :'password';
-- For logical dumps alone.
grant pg_read_all_data to postbox;
SQL
echo 'host replication postbox all scram-sha-256' >> "$PGDATA/pg_hba.conf"
