import type { SandboxPostgres } from '../sandbox/postgres.js'

/** Text of hexadecimal digits, part of it random, part repeated: compresses about as real rows do. */
const PAYLOAD = `md5(n::text) || md5(random()::text) || repeat(md5((n / 7)::text), 5)`

/** What the WAL is made of. */
export type WalLoad = 'inserts' | 'messages'

const STATEMENTS: Record<WalLoad, string> = {
  inserts: `insert into filler select n, ${PAYLOAD} from generate_series(1, 100000) n`,
  // Replayed by doing nothing, so that recovery goes as fast as WAL is brought.
  messages: `select pg_logical_emit_message(false, 'bench', rows) is null from (
               select string_agg(${PAYLOAD}, '') rows from generate_series(1, 125000) n group by n / 32) message`,
}

/** Writes so many segments, and a little more, on a server that has the table `filler`. */
export async function writeWal(postgres: SandboxPostgres, load: WalLoad, segments: number): Promise<void> {
  const [begin] = await postgres.query<{ lsn: string }>('select pg_current_wal_lsn()::text lsn')
  for (let written = 0; written < segments;) {
    await postgres.query(STATEMENTS[load])
    const [row] = await postgres.query<{ segments: number }>(
      "select ((pg_current_wal_lsn() - $1::pg_lsn) / pg_size_bytes(current_setting('wal_segment_size')))::int segments",
      [begin!.lsn],
    )
    written = row!.segments
  }
}

/** A table for `inserts`. */
export const FILLER_TABLE = 'create table filler (id bigint, payload text)'
