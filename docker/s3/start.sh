#!/usr/bin/env bash
# start.sh: a one-node Ceph (mon, osd, radosgw) that answers S3 over TLS on port 9000 and keeps its data in /data. To try things out:
# one disk, no copies, no cephx. Made anew where /data is empty; ends when one of the three does.
#
#   SECRETS=/secrets   a folder with s3-key (the one user's, as an AWS credentials file) and tls.pem (certificate and key)
#   BUCKET=backups     made with Object Lock, hence with versions; RETENTION_DAYS=1 is its default retention
#   STORE_GB=20        when it is full, writes and deletes hang for good; the file is sparse
set -euo pipefail
: "${SECRETS:=/secrets}" "${BUCKET:=backups}" "${STORE_GB:=20}" "${RETENTION_DAYS:=1}"
DIR=/data CONF=/data/ceph.conf
export CEPH_CONF=$CONF
ACCESS=$(sed -n 's/^aws_access_key_id *= *//p' "$SECRETS/s3-key")
SECRET=$(sed -n 's/^aws_secret_access_key *= *//p' "$SECRETS/s3-key")
say() { echo "s3: $*" >&2; }

quietly() { # command…: its output only if it fails
  timeout 60 "$@" > /tmp/out 2>&1 || { tail -n 20 /tmp/out >&2; say "failed: $*"; exit 1; }
}

configure() {
  local fsid
  fsid=$(cat /proc/sys/kernel/random/uuid)
  cat > "$CONF" <<CONF
[global]
fsid = $fsid
mon_host = v2:127.0.0.1:6789
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr1 = false
ms_bind_ipv6 = false
ms_async_op_threads = 2
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
run_dir = /tmp
admin_socket = /tmp/\$name.asok
log_to_file = false
log_to_stderr = true
err_to_stderr = true
debug_default = 0
crash_dir = /tmp
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000

[mon]
mon_data = $DIR/mon
mon_cluster_log_to_file = false
mon_data_avail_crit = 1
mon_data_avail_warn = 2
mon_warn_on_pool_no_redundancy = false

[osd]
osd_data = $DIR/osd
osd_objectstore = bluestore
bluestore_block_size = $((STORE_GB * 1024 * 1024 * 1024))
bluestore_block_db_create = false
bluestore_block_wal_create = false
osd_memory_target = 939524096
osd_class_update_on_start = false
osd_crush_initial_weight = 1
osd_client_watch_timeout = 10

[client]
debug_rgw = 0
rgw_frontends = beast ssl_endpoint=0.0.0.0:9000 ssl_certificate=$SECRETS/tls.pem tcp_nodelay=1
rgw_data = /tmp
keyring = /dev/null
# "secure", the default, hangs without cephx
ms_mon_client_mode = crc
rgw_thread_pool_size = 64
rgw_run_sync_thread = false
rgw_override_bucket_index_max_shards = 1
rgw_rados_pool_pg_num_min = 4
rgw_max_put_size = 5368709120
CONF
  mkdir -p "$DIR/mon" "$DIR/osd"
  : > "$DIR/keyring"
  quietly monmaptool --create --clobber --fsid "$fsid" --addv a '[v2:127.0.0.1:6789]' "$DIR/monmap"
  quietly ceph-mon -i a --mkfs --monmap "$DIR/monmap" --keyring "$DIR/keyring"
  touch "$DIR/mon/keyring"
}

s3() { # METHOD PATH [curl arguments…]: one signed request, must answer 200
  local status method=$1 path=$2
  shift 2
  status=$(curl -sk -o /tmp/s3.out -m 60 -w '%{http_code}' -X "$method" "https://127.0.0.1:9000$path" --user "$ACCESS:$SECRET" \
    --aws-sigv4 aws:amz:us-east-1:s3 -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' "$@")
  [ "$status" = 200 ] || { say "$method $path: HTTP $status $(cat /tmp/s3.out)"; exit 1; }
}

rm -f "$DIR/serving"
if [ ! -e "$DIR/made" ]; then
  rm -rf "${DIR:?}"/*
  configure
  new=1
fi
ceph-mon -f -i a &
pids=($!)
if [ -n "${new:-}" ]; then
  osd=$(cat /proc/sys/kernel/random/uuid)
  quietly ceph --connect-timeout 20 osd new "$osd" 0
  quietly ceph-osd -i 0 --mkfs --osd-uuid "$osd"
fi
ceph-osd -f -i 0 &
pids=($! "${pids[@]}")
# The first call makes the zone's pools too, so it waits for the osd.
[ -z "${new:-}" ] || quietly radosgw-admin user create --uid=owner --display-name=owner --access-key="$ACCESS" --secret-key="$SECRET"
radosgw -f -n client.rgw &
pids=($! "${pids[@]}")
for _ in $(seq 300); do
  [ "$(curl -sk -o /dev/null -m 5 -w '%{http_code}' https://127.0.0.1:9000/)" != 200 ] || break
  sleep 0.2
done
if [ -n "${new:-}" ]; then
  s3 PUT "/$BUCKET" -H 'x-amz-bucket-object-lock-enabled: true'
  s3 PUT "/$BUCKET?object-lock=" -H 'content-type: application/xml' -d "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>
    <Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>$RETENTION_DAYS</Days></DefaultRetention></Rule></ObjectLockConfiguration>"
  touch "$DIR/made"
fi
touch "$DIR/serving"
say "the bucket $BUCKET is at https://s3:9000"

stop() {
  trap - TERM INT
  # The gateway first, so that nothing is half-written.
  for pid in "${pids[@]}"; do
    kill "$pid" 2> /dev/null || true
    wait "$pid" || true
  done
  exit 0
}
trap stop TERM INT
wait -n
say 'one of its programs has ended'
exit 1
