import { createHash } from 'node:crypto'
import { restoreNoteKey } from './key-names.js'

/** The note in every server's folder that says how to restore with plain tools, should Postbox be gone. */
export function restoreNote(server: string): { key: string; content: Buffer } {
  const content = Buffer.from(text(server))
  return { key: restoreNoteKey(server, createHash('sha256').update(content).digest()), content }
}

const text = (server: string): string => `# Restoring ${server} by hand

This folder was written by Postbox (format version 1). With Postbox: \`postbox restore --server ${server} --data-dir DIR\`.
Without it, these tools are enough: any S3 client (the \`aws\` command line below), \`sha256sum\`, \`zstd\`, \`tar\`, \`jq\` and
PostgreSQL of the backup's major version.

## What lies here
    ${server}/<system>/base/<backup>/manifest-*.json         one for each complete backup: what it is and every part of it
    ${server}/<system>/base/<backup>/base/000000-*.tar.zst   the data directory; <oid>/ instead of base/ for a tablespace
    ${server}/<system>/base/<backup>/backup_manifest-*.zst   PostgreSQL's own list of files and checksums
    ${server}/<system>/wal/<timeline>/<segment>-*.zst        WAL
    ${server}/<system>/wal/<timeline>.history-*              timeline history files

A backup without a manifest was never finished. If a name is there in several versions, the earliest one counts.

## Steps
    BUCKET=…; BACKUP=${server}/<system>/base/<backup>          # choose one; names begin with the time in UTC
    aws s3 cp --recursive s3://$BUCKET/$BACKUP backup
    aws s3 cp --recursive s3://$BUCKET/${server}/<system>/wal wal

Compare each part with the manifest: this must print nothing.

    jq -r '.archives[].parts[], .backup_manifest | .sha256 + "  " + .key' backup/manifest-*.json |
      sed "s|  $BACKUP/|  backup/|" | sha256sum -c --quiet

Unpack. Parts of one archive are joined in the order of their names. For tablespaces (\`jq .archives\` shows oid and
location) make each location first and unpack \`backup/<oid>/*.tar.zst\` into it in the same way.

    install -d -m 700 data
    cat backup/base/*.tar.zst | zstd -dc | tar -x -C data
    zstd -dc backup/backup_manifest-*.zst > data/backup_manifest

Unpack the WAL under its plain names, and tell PostgreSQL to take it from there.

    mkdir plain
    for f in wal/*/*.zst; do n=\${f##*/}; zstd -qdc "$f" > "plain/\${n%%-*}"; done
    for f in wal/*.history-*; do n=\${f##*/}; [ -e "$f" ] && cp "$f" "plain/\${n%%-*}"; done
    echo "restore_command = 'cp $PWD/plain/%f %p'" >> data/postgresql.auto.conf
    touch data/recovery.signal
    pg_ctl -D data start

For a point in time add \`recovery_target_time = '…'\` and \`recovery_target_action = 'promote'\` to the same file before the start.
`
