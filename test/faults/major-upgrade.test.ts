import { afterEach, expect, test } from 'vitest'
import { parseManifestKey, parseSegmentKey } from '../../src/box/key-names.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { postboxOk } from '../sandbox/command.js'
import { Restores } from '../sandbox/restored.js'
import { disagreements } from './agreement.js'
import { writeSegments } from './observe.js'
import { showLogOfFailures } from './show-log.js'

let older: BackedUpServer
let newer: BackedUpServer | null = null
let restored: Restores[] = []

afterEach(async () => {
  for (const one of restored) await one.remove()
  restored = []
  await newer?.remove()
  newer = null
  await older.remove()
})

showLogOfFailures(() => older)

const ALL = 'select n, text from kept order by n'

// pg_upgrade is not at hand: a new cluster of a newer version gets the rows, which is the same to everything here. Its
// WAL begins anew, with names far before those of the old one.
test('a server that was upgraded has two lives, and the newer one is restored by its time and not its WAL names', async () => {
  const initdb = ['--wal-segsize=1']
  older = await BackedUpServer.start({ version: 15, initdb })
  await older.postgres.query('create table kept as select n, md5(n::text) as text from generate_series(1, 500) n')
  await writeSegments(older, 30)
  await older.backUp('on 15')
  await older.postgres.query(`insert into kept values (501, 'the last one on 15')`)
  await older.storeAllWal()
  expect(await disagreements(older)).toEqual([])
  const rows = await older.postgres.query<{ n: number; text: string }>(ALL)
  await older.worker.stop()
  await older.postgres.stop()

  newer = await BackedUpServer.start({ version: 18, initdb, beside: older })
  await newer.postgres.query('create table kept as select * from jsonb_to_recordset($1) as r (n int, text text)', [
    JSON.stringify(rows),
  ])
  await newer.backUp('on 18')
  await newer.postgres.query(`insert into kept values (502, 'the first one on 18')`)
  await newer.untilDurable()

  const keys = older.bucket.keys()
  const lives = [...new Set(keys.filter((key) => parseManifestKey(key)).map((key) => key.split('/')[1]!))]
  expect(lives).toHaveLength(2)
  const lastOf = (life: string) => {
    const names = keys
      .filter((key) => key.startsWith(`db1/${life}/`))
      .flatMap((key) => parseSegmentKey(key)?.name ?? [])
    return names.at(-1)!
  }
  const ids = (label: string, list: Listed) => list.servers.find(({ backups }) => backups[0]!.label === label)!
  const list = JSON.parse(await postboxOk(['list', '--server', 'db1', '--json'], older.keyholderEnv)) as Listed
  const [on15, on18] = [ids('on 15', list), ids('on 18', list)]
  expect([on15.backups[0]!.state, on18.backups[0]!.state]).toEqual(['restorable', 'restorable'])
  expect([on15.problems, on18.problems]).toEqual([[], []])
  expect(lastOf(on18.system_identifier) < lastOf(on15.system_identifier)).toBe(true)

  const [by15, by18] = [15, 18].map((version) => new Restores(older.s3, 'backups', version as 15 | 18))
  restored = [by15!, by18!]
  const now = await (await by18!.recover()).query<{ n: number; text: string }>(ALL)
  expect(now).toEqual([...rows, { n: 502, text: 'the first one on 18' }])
  const then = await (await by15!.recover(['--backup', on15.backups[0]!.backup_id])).query(ALL)
  expect(then).toEqual(rows)
  // A moment before the upgrade is in the other life, which is taken by itself and named.
  const { code, stdout } = await by18!.attempt(['--target', `time=${on15.backups[0]!.stopped_at}`, '--dry-run'])
  expect([code, stdout]).toEqual([0, expect.stringContaining(`taking ${on15.system_identifier}`)])
})

interface Listed {
  servers: {
    system_identifier: string
    problems: string[]
    backups: { backup_id: string; label: string; state: string; stopped_at: string }[]
  }[]
}
