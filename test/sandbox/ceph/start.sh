#!/usr/bin/env bash
# start.sh DIR PORT MON_PORT: a one-node Ceph (mon, osd, radosgw) that answers S3 on 127.0.0.1:PORT and keeps all in RAM.
# DIR must be empty or not there. No systemd, no mgr, no cephx. Prints nothing; what goes wrong goes to stderr.
# The daemons outlive this script; their numbers are in DIR/*.pid. End them with stop.sh DIR.
#
#   S3_ACCESS_KEY S3_SECRET_KEY     the one user's keys
#   MORE_USERS="reader pruner"      others, with no right to anything; each has S3_ACCESS_KEY-NAME and the same secret
#   BUCKETS="a b:lock c:versioned"  made at the start; :lock is Object Lock, and hence versioned too
#   TLS_PORT=… TLS_PEM=…            answer over TLS as well; the file holds certificate and key
#   STORE_GB=4                      when it is full, writes and deletes hang for good; takes 2.1 times the stored bytes
set -euo pipefail
DIR=${1:?usage: start.sh DIR PORT MON_PORT}; PORT=${2:?}; MON_PORT=${3:?}
: "${S3_ACCESS_KEY:?}" "${S3_SECRET_KEY:?}"
die() { echo "ceph: $*" >&2; exit 1; }

mkdir -p "$DIR"; DIR=$(cd "$DIR" && pwd); CONF=$DIR/ceph.conf
export CEPH_CONF=$CONF
[ ${#DIR} -le 70 ] || die "the path is too long for a unix socket: $DIR"
[ -z "$(ls -A "$DIR")" ] || die "$DIR is not empty"
mkdir "$DIR"/{mon,osd,run,log}
trap 'rc=$?; [ $rc = 0 ] || "$(dirname "$0")/stop.sh" "$DIR"; exit $rc' EXIT

fsid=$(cat /proc/sys/kernel/random/uuid); osd_id=$(cat /proc/sys/kernel/random/uuid)
cat > "$CONF" <<CONF
[global]
fsid = $fsid
mon_host = v2:127.0.0.1:$MON_PORT
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr1 = false
ms_bind_ipv6 = false
ms_async_op_threads = 2
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
run_dir = $DIR/run
admin_socket = $DIR/run/\$name.\$pid.asok
log_file = $DIR/log/\$name.log
crash_dir = $DIR/log
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
osd_failsafe_full_ratio = 0.99

[mon]
mon_data = $DIR/mon
mon_cluster_log_file = $DIR/log/cluster.log
mon_data_avail_crit = 1
mon_data_avail_warn = 2
mon_warn_on_pool_no_redundancy = false
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
mon_osd_full_ratio = 0.98
mon_osd_nearfull_ratio = 0.97
mon_osd_backfillfull_ratio = 0.975

[osd]
osd_data = $DIR/osd
osd_objectstore = memstore
memstore_device_bytes = $((${STORE_GB:-4} * 1024 * 1024 * 1024))
osd_class_update_on_start = false
osd_crush_initial_weight = 1
osd_op_num_shards = 2
osd_client_watch_timeout = 10
osd_scrub_begin_hour = 0
osd_scrub_min_interval = 31536000
osd_scrub_max_interval = 31536000
osd_deep_scrub_interval = 31536000

[client]
rgw_frontends = beast endpoint=127.0.0.1:$PORT${TLS_PEM:+ ssl_endpoint=127.0.0.1:$TLS_PORT ssl_certificate=$TLS_PEM} tcp_nodelay=1
rgw_data = $DIR/run
keyring = /dev/null
# "secure", the default, hangs without cephx
ms_mon_client_mode = crc
rgw_thread_pool_size = 64
rgw_run_sync_thread = false
rgw_override_bucket_index_max_shards = 1
rgw_rados_pool_pg_num_min = 4
rgw_max_put_size = 5368709120
rgw_gc_obj_min_wait = 5
rgw_gc_processor_period = 10
rgw_gc_processor_max_time = 10
CONF

daemon() { # NAME program arguments…: in a session of its own, its number in DIR/NAME.pid
  local name=$1; shift
  setsid nohup bash -c 'echo $$ > "$0.new" && mv "$0.new" "$0" && exec "$@"' "$DIR/$name.pid" "$@" \
    >> "$DIR/log/$name.out" 2>&1 < /dev/null &
  for _ in $(seq 500); do [ ! -s "$DIR/$name.pid" ] || return 0; sleep 0.02; done
  die "$name did not start"
}
alive() { tr '\0' ' ' < "/proc/$(cat "$DIR/$1.pid")/cmdline" 2> /dev/null | grep -qF -- "$CONF"; }
quietly() { # NAME command…: its output only if it fails
  local log=$DIR/log/$1.out; shift
  timeout 60 "$@" > "$log" 2>&1 || { tail -n 5 "$log" "$DIR"/log/*.out >&2; die "failed: $*"; }
}
s3() { # METHOD PATH [curl arguments…]: one signed request, must answer 200
  local status method=$1 path=$2; shift 2
  status=$(curl -s -o "$DIR/log/s3.out" -m 30 -w '%{http_code}' -X "$method" "http://127.0.0.1:$PORT$path" \
    --user "$S3_ACCESS_KEY:$S3_SECRET_KEY" --aws-sigv4 aws:amz:us-east-1:s3 -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' "$@")
  [ "$status" = 200 ] || die "$method $path: HTTP $status $(cat "$DIR/log/s3.out")"
}

: > "$DIR/keyring"
quietly monmap monmaptool --create --clobber --fsid "$fsid" --addv a "[v2:127.0.0.1:$MON_PORT]" "$DIR/monmap"
quietly mkfs-mon ceph-mon -c "$CONF" -i a --mkfs --monmap "$DIR/monmap" --keyring "$DIR/keyring"
touch "$DIR/mon/keyring"
daemon mon ceph-mon -c "$CONF" -f -i a
quietly osd-new ceph -c "$CONF" --connect-timeout 20 osd new "$osd_id" 0
quietly mkfs-osd ceph-osd -c "$CONF" -i 0 --mkfs --osd-uuid "$osd_id"
daemon osd ceph-osd -c "$CONF" -f -i 0
# The first call makes the zone's pools too, so it waits for the osd.
quietly user radosgw-admin -c "$CONF" user create --uid=sandbox --display-name=sandbox \
  --access-key="$S3_ACCESS_KEY" --secret-key="$S3_SECRET_KEY"

for user in ${MORE_USERS:-}; do
  quietly user radosgw-admin -c "$CONF" user create --uid="$user" --display-name="$user" \
    --access-key="$S3_ACCESS_KEY-$user" --secret-key="$S3_SECRET_KEY"
done

daemon rgw radosgw -c "$CONF" -f -n client.rgw
answers() { [ "$(curl -s -o /dev/null -m 5 -w '%{http_code}' "http://127.0.0.1:$PORT/")" = 200 ]; }
for _ in $(seq 600); do
  ! answers || break
  alive rgw || { tail -n 5 "$DIR/log/rgw.out" "$DIR"/log/client.rgw.log >&2; die 'radosgw has ended'; }
  sleep 0.1
done
answers || die "no answer on port $PORT after 60 s"

for bucket in ${BUCKETS:-}; do
  name=${bucket%%:*}
  case ${bucket#"$name"} in
    :lock) s3 PUT "/$name" -H 'x-amz-bucket-object-lock-enabled: true' ;;
    :versioned)
      s3 PUT "/$name"
      s3 PUT "/$name?versioning=" -H 'content-type: application/xml' -d \
        '<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>'
      ;;
    '') s3 PUT "/$name" ;;
    *) die "no such kind of bucket: $bucket" ;;
  esac
done
