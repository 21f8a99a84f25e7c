import { parseSegmentKey } from '../../src/box/key-names.js'
import { formatLsn, parseLsn, type Lsn } from '../../src/wal/lsn.js'
import { parseSegmentName } from '../../src/wal/segment.js'
import type { BackedUpServer } from '../sandbox/backed-up-server.js'
import { storedManifests } from './agreement.js'

interface Run {
  from: Lsn
  to: Lsn
}

/** Stored WAL without a gap, by the bucket alone, in order. For a server that has one timeline. */
function storedRuns({ bucket }: BackedUpServer, segmentBytes: number): Run[] {
  const runs: Run[] = []
  const names = new Set(bucket.keys().flatMap((key) => parseSegmentKey(key)?.name ?? []))
  for (const name of [...names].sort()) {
    const { start } = parseSegmentName(name, segmentBytes)
    const last = runs.at(-1)
    if (last?.to === start) last.to += BigInt(segmentBytes)
    else runs.push({ from: start, to: start + BigInt(segmentBytes) })
  }
  return runs
}

/** What the catalog says of gaps and windows beside what the bucket says, which is the same once all WAL is recorded. */
export async function gapsAndWindows(backedUp: BackedUpServer): Promise<{ said: string[]; stored: string[] }> {
  const { postgres } = backedUp
  const [row] = await postgres.query<{ bytes: number }>(
    "select pg_size_bytes(current_setting('wal_segment_size'))::int as bytes",
  )
  const said = await postgres.query<{ line: string }>(
    `select format('gap %s-%s', from_lsn, to_lsn) as line from backup.wal_gaps
     union all select format('%s %s-%s', backup_id, from_lsn, to_lsn) from backup.recovery_windows`,
  )
  const runs = storedRuns(backedUp, row!.bytes)
  const backups = storedManifests(backedUp).map(({ backup_id, start_lsn, stop_lsn }) => ({
    backup_id,
    start: parseLsn(start_lsn),
    stop: parseLsn(stop_lsn),
  }))
  // Ids tell the second: of two within one, any may be first.
  const oldest = backups.reduce((least, { start }) => (start < least ? start : least), backups[0]!.start)
  const gaps = runs.slice(1).flatMap((run, at) => {
    const from = runs[at]!.to > oldest ? runs[at]!.to : oldest
    return run.from > from ? [`gap ${formatLsn(from)}-${formatLsn(run.from)}`] : []
  })
  const windows = backups.flatMap(({ backup_id, start, stop }) => {
    const run = runs.find(({ from, to }) => from <= start && stop <= to)
    return run ? [`${backup_id} ${formatLsn(stop)}-${formatLsn(run.to)}`] : []
  })
  return { said: said.map(({ line }) => line).sort(), stored: [...gaps, ...windows].sort() }
}
