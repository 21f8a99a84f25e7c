import { BackedUpServer } from '../sandbox/backed-up-server.js'

/** Rows of the table `kept`, about 5 MB that compress little. */
export const KEPT_ROWS = 8000

/** A server whose dumps take many parts, posted one by one, with the tables `kept` and `other`. `bin`: of pg_dump. */
export async function startDumpedServer(bin: string): Promise<BackedUpServer> {
  const backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'], workerEnv: dumpEnv(bin) })
  const { postgres } = backedUp
  await postgres.query('grant pg_read_all_data to postbox_worker')
  await postgres.query(
    `create table kept as select n, (select string_agg(md5((n * 100 + k)::text), '') from generate_series(1, 20) k) as t
     from generate_series(1, ${KEPT_ROWS}) n`,
  )
  await postgres.query("create table other as select 'é' as t from generate_series(1, 100)")
  for (const [setting, value] of [
    ['part_bytes', '1MB'],
    ['upload_connections', '1'],
    ['dump_split_bytes', '1MB'],
  ]) {
    await postgres.query('select backup.configure($1, $2)', [setting, value])
  }
  return backedUp
}

export const dumpEnv = (bin: string) => ({ PATH: `${bin}:/usr/bin:/bin` })

/** Queues a dump; `args` as of backup.start_dump(). */
export async function startDump({ postgres }: BackedUpServer, args = ''): Promise<bigint> {
  const [row] = await postgres.query<{ id: string }>(`select backup.start_dump(${args}) id`)
  return BigInt(row!.id)
}
