#!/usr/bin/env bash
# run-without-registry.sh DIR: compose.yaml with the images of build-without-registry.sh, from nothing to a base backup and its
# restore, on the host's network. Ends with what it started; exit code 0 says that all of it held. COMPOSE is the program, where that
# is not "docker compose" (version 2).
set -euo pipefail
DIR=$(cd "${1:?usage: run-without-registry.sh DIR}" && pwd)
cd "$(dirname "$0")"
compose() { ${COMPOSE:-docker compose} -p postbox-try -f compose.yaml -f "$DIR/host-network.yaml" "$@"; }
sql() { compose exec -T postgres psql -h 127.0.0.1 -XAtqU postgres -c "$1"; }
say() { echo "== $*"; }

# Without a network of its own every service is at 127.0.0.1, and found there by its name.
{
  echo 'services:'
  for service in postgres catalog worker issuer s3; do
    printf '  %s:\n    network_mode: host\n    extra_hosts: [postgres:127.0.0.1, issuer:127.0.0.1, s3:127.0.0.1]\n' "$service"
    # In place of the official image, which cannot be pulled: the keyholder's has the server.
    [ "$service" != postgres ] || printf '    entrypoint: [/stand-in.sh]\n    volumes: ["%s:/stand-in.sh:ro", "%s:/var/lib/postgresql"]\n' \
      "$PWD/postgres/stand-in.sh" "$DIR/pgdata"
  done
} > "$DIR/host-network.yaml"
export POSTGRES_IMAGE=postbox-keyholder
rm -rf "$DIR/pgdata" "$DIR/restored"
install -d -o 999 -g 999 "$DIR/pgdata" "$DIR/restored"
finish() {
  local code=$?
  [ $code = 0 ] || compose logs --tail 30 || true
  compose down --volumes --timeout 20 > "$DIR/down.log" 2>&1 || true
  exit $code
}
trap finish EXIT

until_healthy() { # SERVICE: sets id
  id=$(compose ps -q "$1")
  for _ in $(seq 90); do
    health=$(docker inspect -f '{{.State.Health.Status}}' "$id")
    [ "$health" != healthy ] || return 0
    sleep 1
  done
  say "$1 is $health"
  return 1
}

say 'docker compose up'
compose up --detach --no-build
for service in postgres s3 issuer worker; do
  until_healthy "$service"
  say "$service: $health; uid $(docker exec "$id" id -u); read-only: $(docker inspect -f '{{.HostConfig.ReadonlyRootfs}}' "$id"); $(
    docker inspect -f '{{(index .State.Health.Log 0).Output}}' "$id" | head -n 1)"
  if docker exec -u 0 "$id" touch /x 2> /dev/null; then exit 1; fi
done
say "the worker knows: $(compose exec -T worker sh -c 'ls /secrets; env' | grep -ciE 's3-key|aws_' || true) S3 keys"
if compose exec -T worker postbox list --server db1; then exit 1; fi

say 'SELECT backup.start_base()'
sql "create table kept as select n from generate_series(1, 100000) n"
job=$(sql "select backup.start_base('first')")
sql "call backup.wait($job, '2 minutes')"
sql "select job_id, state, bytes_done from backup.jobs"
job=$(sql 'select backup.start_dump()')
sql "call backup.wait($job, '2 minutes')"
sql "select job_id, kind, state from backup.jobs"
sql 'select pg_switch_wal()' > /dev/null
for _ in $(seq 60); do [ "$(sql 'select bytes_at_risk = 0 from backup.status')" != t ] || break; sleep 1; done
sql 'select name, state, message from backup.checks order by name'

page() { curl -sS -o /dev/null -w '%{http_code}' "$@" http://127.0.0.1:9187/; }
say "the page without its token: $(page), with it: $(page -H "Authorization: Bearer $(compose exec -T worker cat /secrets/page-token)")"
[ "$(page)" = 401 ]
[ "$(page -H "Authorization: Bearer $(compose exec -T worker cat /secrets/page-token)")" = 200 ]

say 'postbox list, verify, drill, restore, after a new start of S3'
compose restart s3
until_healthy s3
compose run --rm -T issuer list --server db1
compose run --rm -T issuer verify --server db1 --deep
compose run --rm -T issuer drill --server db1 --json
compose run --rm -T --volume "$DIR/restored:/restored" issuer restore --server db1 --data-dir /restored/data
[ "$(cat "$DIR/restored/data/PG_VERSION")" = 18 ]
say 'all of it held'
