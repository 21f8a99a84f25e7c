#!/usr/bin/env bash
# make-secrets.sh: what the services of compose.yaml must know, each in the folder of who may know it, made once. For a set-up that is
# to last put your own in the place of these volumes.
set -euo pipefail
cd /made
# The mark is written last.
[ ! -e s3/made ] || exit 0
umask 277
rm -f ./*/*
random() { openssl rand -hex "$1"; }
superuser=$(random 24) worker=$(random 24) token=postbox_$(random 32)

printf %s "$superuser" | tee postgres/superuser-password > catalog/superuser-password
printf %s "$worker" | tee postgres/worker-password > worker/database-password
printf %s "$token" > worker/issuer-token
random 16 > worker/page-token
printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$(random 10)" "$(random 20)" | tee s3/s3-key > issuer/s3-key
printf 'servers:\n  db1:\n    token_sha256: %s\n    retention: { backups: { for: 7d }, point_in_time: 7d }\n' \
  "$(printf %s "$token" | sha256sum | cut -d ' ' -f 1)" > issuer/keyholder.yaml

# One certificate for both services that speak TLS; who calls them trusts it and no other.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj '/CN=postbox compose' \
  -addext 'subjectAltName=DNS:issuer,DNS:s3,DNS:localhost,IP:127.0.0.1' -keyout issuer/key.pem -out issuer/cert.pem 2> /dev/null
cat issuer/cert.pem issuer/key.pem > s3/tls.pem
cp issuer/cert.pem worker/ca.pem
touch s3/made
