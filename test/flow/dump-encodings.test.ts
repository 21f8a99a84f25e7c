import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseDumpManifest, type DumpManifest } from '../../src/box/dump-manifest.js'
import { decompress } from '../../src/keyholder/zstd.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { copyOfDump } from '../sandbox/client/plain-dump.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { turnOnTls } from '../sandbox/postgres-tls.js'

const bin = await clientPrograms()

describe.skipIf(bin === null).each([
  ['LATIN1', 'U&"caf\\00E9"', "'caf\u00e9 ' || chr(163)", 'verify-full'],
  // What another encoding would refuse: a lone byte, in a name too.
  ['SQL_ASCII', 'cafe', "E'caf\\351 \\243'", 'no-verify'],
])('a dump of a database in %s, over TLS', (encoding, name, value, sslmode) => {
  let backedUp: BackedUpServer

  beforeAll(async () => {
    const path = { PATH: `${bin!}:/usr/bin:/bin` }
    const initdb = [`--encoding=${encoding}`, '--locale=C']
    backedUp = await BackedUpServer.start({ initdb, workerEnv: path })
    const { postgres } = backedUp
    await postgres.query('grant pg_read_all_data to postbox_worker')
    await postgres.query(`create table ${name} (n int, t text default ${value})`)
    await postgres.query(`insert into ${name} (n) select generate_series(1, 1000)`)
    await turnOnTls(postgres)
    await backedUp.worker.stop()
    backedUp.startWorker({
      ...path,
      POSTBOX_DATABASE_URL: `${backedUp.databaseEnv()['POSTBOX_DATABASE_URL']!}?sslmode=${sslmode}`,
      // What only this process trusts is trusted by pg_dump, too.
      NODE_EXTRA_CA_CERTS: join(postgres.dataDir, 'server.crt'),
    })
  })
  afterAll(() => backedUp.remove())

  test('holds its bytes as they are, and comes back by zstd and psql', async () => {
    const [row] = await backedUp.postgres.query<{ id: string }>('select backup.start_dump() id')
    const job = await backedUp.ended(BigInt(row!.id))
    expect(job, backedUp.worker.log).toMatchObject({ state: 'done' })
    const sessions = await backedUp.postgres.query(
      "select distinct ssl from pg_stat_ssl join pg_stat_activity using (pid) where usename = 'postbox_worker'",
    )
    expect(sessions).toEqual([{ ssl: true }])
    const manifest = manifestOf()
    expect(manifest.encoding).toBe(encoding)
    const { key } = manifest.tables[0]!.slices[0]!.parts[0]!
    const raw = await decompress(backedUp.bucket.get(key), key)
    expect(raw.subarray(0, 9).toString('latin1')).toBe('1\tcaf\u00e9 \u00a3\n')

    const copy = await copyOfDump(backedUp, bin!, 'copy')
    try {
      await copy.load(manifest)
      expect(await copy.pgDump('copy')).toBe(await copy.pgDump('postgres'))
      expect(
        await copy.value("select encode(convert_to(t, getdatabaseencoding()), 'hex') from " + name + ' limit 1'),
      ).toBe('636166e920a3')
    } finally {
      await copy.remove()
    }
  })

  function manifestOf(): DumpManifest {
    const key = backedUp.bucket.keys().find((one) => /\/dump\/.*\/manifest-/.test(one))!
    return parseDumpManifest(key, backedUp.bucket.get(key))
  }
})
