import { createHash } from 'node:crypto'
import { restoreNoteKey } from './key-names.js'

/** The note in every server's folder that says how to restore with plain tools, should Postbox be gone. */
export function restoreNote(server: string): { key: string; content: Buffer } {
  const content = Buffer.from(text(server))
  return { key: restoreNoteKey(server, createHash('sha256').update(content).digest()), content }
}

/** It has no dollar, backquote or double quote, because it stands between double quotes of a shell. */
const rowsByHand = String.raw`    printf '%s\n' '\set manifest ${'`'}cat dump/manifest-*.json${'`'}' "
      select 'find ' || regexp_replace(key, '^.*/dump/[^/]*/(.*)/[^/]*', 'dump/\1') || ' -type f | sort | xargs cat | zstd -dcq | '
        || 'psql -Xq -d copy -c ''' || replace(format('copy %I.%I%s from stdin with (encoding %L)', coalesce(t #>> '{copy_into,schema}',
          t ->> 'schema'), coalesce(t #>> '{copy_into,name}', t ->> 'name'), columns, m ->> 'encoding'), '''', '''\''''') || ''''
      from (select :'manifest'::json as m) as manifest, json_array_elements(m -> 'tables') as t,
        lateral (select ' (' || string_agg(quote_ident(c), ', ' order by n) || ')' as columns
          from json_array_elements_text(t -> 'columns') with ordinality as c (c, n)) as c,
        lateral (select p ->> 'key' as key from json_array_elements(t -> 'slices') as s, json_array_elements(s -> 'parts') as p
          limit 1) as p;" | psql -XAtq -d copy > rows.sh`

const text = (server: string): string => `# Restoring ${server} by hand

This folder was written by Postbox (format version 1). With Postbox: \`postbox restore --server ${server} --data-dir DIR\`.
Without it, these tools are enough: any S3 client (the \`aws\` command line below), \`sha256sum\`, \`zstd\`, \`tar\`, \`jq\` and
PostgreSQL of the backup's major version.

## What lies here
    ${server}/<system>/base/<backup>/manifest-*.json         one for each complete backup: what it is and every part of it
    ${server}/<system>/base/<backup>/base/000000-*.tar.zst   the data directory; <oid>/ instead of base/ for a tablespace
    ${server}/<system>/base/<backup>/backup_manifest-*.zst   PostgreSQL's own list of files and checksums
    ${server}/<system>/wal/<timeline>/<segment>-*.zst        WAL; the name says which segment it follows
    ${server}/<system>/wal/<timeline>.history-*              timeline history files
    ${server}/<system>/tail/<timeline>/<segment>/<from>-<to>-*.zst
                                                       pieces of a segment, from one position in the WAL to another
    ${server}/<system>/dump/<dump>/manifest-*.json     one for each complete dump of a database; see the end of this page

A backup or dump without a manifest was never finished. If a name is there in several versions, the earliest one counts.

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

Unpack the WAL under its plain names. A name that is there twice was written by two servers at once; the first command
must print nothing.

    find wal -name '*-*' | sed 's|.*/||' | cut -d- -f1 | sort | uniq -d

    mkdir plain
    for f in wal/*/*.zst; do n=\${f##*/}; zstd -qdc "$f" > "plain/\${n%%-*}"; done
    for f in wal/*.history-*; do n=\${f##*/}; [ -e "$f" ] && cp "$f" "plain/\${n%%-*}"; done

If it printed names, delete the files of one server from wal/ first. The last 12 digits of a name are the beginning of the
SHA-256 of what is in it; in \`<segment>-<previous>-<sha>.zst\` the 12 digits before them are the <sha> of the segment that
it follows. So go from segment to segment, always on to the one whose <previous> is the <sha> of the last. The backup's own
is \`jq -r .stop_segment_key backup/manifest-*.json\`. At the first segment of a timeline, <previous> is the beginning of
\`printf %s%s <sha of the segment before> <sha of the history file> | sha256sum\`.

The last segment is usually not whole. The beginning of it that was stored lies in its folder under tail/; there a piece
may repeat what another one holds. The folder of a segment that is already in plain/ is of no use, so one is enough: that
of the segment which follows the last one in plain/ (on the newest timeline, if there are several).

    aws s3 ls s3://$BUCKET/${server}/<system>/tail/<timeline>/
    aws s3 cp --recursive s3://$BUCKET/${server}/<system>/tail/<timeline>/<segment> tail/<timeline>/<segment>

Join them as far as there is no gap, and fill up with zeros to the size of a segment: there PostgreSQL sees the end. The
<sha> of a piece is that of everything up to its end, so that only what belongs together is joined.

    size=$(jq .wal_segment_bytes backup/manifest-*.json)
    for d in tail/*/*/; do
      s=$(basename "$d"); [ -e "plain/$s" ] && continue; : > joined; at=
      for f in "$d"*.zst; do
        n=\${f##*/}; to=\${n#*-}; from=$((0x\${n%%-*})); to=$((0x\${to%%-*}))
        [ -n "$at" ] || { start=$((from - from % size)); at=$start; }
        [ "$from" -le "$at" ] && [ "$at" -lt "$to" ] || continue
        { head -c "$((from - start))" joined; zstd -qdc "$f"; } > longer; sha=\${n##*-}
        [ "$(sha256sum < longer | cut -c 1-12)" = "\${sha%.zst}" ] || continue
        mv longer joined; at=$to
      done
      [ ! -s joined ] || { truncate -s "$size" joined; mv joined "plain/$s"; }
    done

Tell PostgreSQL to take the WAL from there.

    echo "restore_command = 'cp $PWD/plain/%f %p'" >> data/postgresql.auto.conf
    rm -f data/standby.signal; touch data/recovery.signal
    pg_ctl -D data start

For a point in time add \`recovery_target_time = '…'\` and \`recovery_target_action = 'promote'\` to the same file before the start.

## A dump
    DUMP=${server}/<system>/dump/<dump>                        # choose one
    aws s3 cp --recursive s3://$BUCKET/$DUMP dump

Compare each part with the manifest: this must print nothing.

    jq -r '.sections[][], .tables[].slices[].parts[] | .sha256 + "  " + .key' dump/manifest-*.json |
      sed "s|  $DUMP/|  dump/|" | sha256sum -c --quiet

Make an empty database and fill it with \`psql\`: definitions, rows, other contents, and what comes after the rows. Errors
about roles that are not there can be passed over. The third command lets PostgreSQL read the manifest, and writes one line for
each table into rows.sh, so that some alone can be taken as well.

    createdb -T template0 copy
    cat dump/pre-data/*.sql.zst | zstd -dcq | psql -Xq -d copy
${rowsByHand}
    sh -e rows.sh
    cat dump/data/*.sql.zst | zstd -dcq | psql -Xq -d copy
    cat dump/post-data/*.sql.zst | zstd -dcq | psql -Xq -d copy

Where \`jq .masked dump/manifest-*.json\` says true, columns hold something else than the database did; where .whole is false, it
is a part of the database.
`
