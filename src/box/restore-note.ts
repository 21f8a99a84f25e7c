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
    ${server}/<system>/tail/<timeline>/<segment>/<from>-<to>-*.zst
                                                       pieces of a segment, from one position in the WAL to another

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

Unpack the WAL under its plain names.

    mkdir plain
    for f in wal/*/*.zst; do n=\${f##*/}; zstd -qdc "$f" > "plain/\${n%%-*}"; done
    for f in wal/*.history-*; do n=\${f##*/}; [ -e "$f" ] && cp "$f" "plain/\${n%%-*}"; done

The last segment is usually not whole. The beginning of it that was stored lies in its folder under tail/; there a piece
may repeat what another one holds. The folder of a segment that is already in plain/ is of no use, so one is enough: that
of the segment which follows the last one in plain/ (on the newest timeline, if there are several).

    aws s3 ls s3://$BUCKET/${server}/<system>/tail/<timeline>/
    aws s3 cp --recursive s3://$BUCKET/${server}/<system>/tail/<timeline>/<segment> tail/<timeline>/<segment>

Join the sound ones as far as there is no gap, and fill up with zeros to the size of a segment: there PostgreSQL sees the end.

    size=$(jq .wal_segment_bytes backup/manifest-*.json)
    for d in tail/*/*/; do
      s=$(basename "$d"); [ -e "plain/$s" ] && continue; at=
      for f in "$d"*.zst; do
        n=\${f##*/}; to=\${n#*-}; from=$((0x\${n%%-*})); to=$((0x\${to%%-*}))
        [ -n "$at" ] || at=$((from - from % size))
        [ "$from" -le "$at" ] && [ "$at" -lt "$to" ] || continue
        zstd -qdc "$f" > piece; sha=\${n##*-}
        [ "$(sha256sum < piece | cut -c 1-12)" = "\${sha%.zst}" ] || continue
        tail -c "+$((at - from + 1))" piece >> "plain/$s"; at=$to
      done
      [ ! -e "plain/$s" ] || truncate -s "$size" "plain/$s"
    done

Tell PostgreSQL to take the WAL from there.

    echo "restore_command = 'cp $PWD/plain/%f %p'" >> data/postgresql.auto.conf
    rm -f data/standby.signal; touch data/recovery.signal
    pg_ctl -D data start

For a point in time add \`recovery_target_time = '…'\` and \`recovery_target_action = 'promote'\` to the same file before the start.
`
