import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { WorkerProcess } from '../sandbox/command.js'
import { disagreements } from './agreement.js'
import { checkBecomes, recordAllWal, writeSegments } from './observe.js'
import { showLogOfFailures } from './show-log.js'

const HBA = `host all scrammed 127.0.0.1/32 scram-sha-256
host replication deaf 127.0.0.1/32 reject
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust`

let backedUp: BackedUpServer

beforeAll(async () => {
  backedUp = await BackedUpServer.start({
    initdb: ['--wal-segsize=1'],
    hba: HBA,
    settings: { max_wal_senders: '4', max_replication_slots: '2' },
  })
  for (const [role, rest] of [
    ['scrammed', "replication in role backup_worker password 'right'"],
    ['deaf', 'replication in role backup_worker'],
    ['stranger', 'replication'],
    ['mute', 'in role backup_worker'],
  ] as const) {
    await backedUp.postgres.query(`create role ${role} login ${rest}`)
  }
  await backedUp.postgres.query("select backup.configure('job_max_attempts', '20')")
  await backedUp.worker.stop()
})

afterAll(async () => {
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

describe('a worker', () => {
  test.each([
    [
      'for a database that is not there',
      { user: 'postbox_worker', database: 'nowhere' },
      'database_refused',
      'POSTBOX_DATABASE_URL',
    ],
    ['as a role that is not there', { user: 'nobody' }, 'database_refused', 'POSTBOX_DATABASE_URL'],
    ['with a wrong password', { user: 'scrammed', password: 'wrong' }, 'database_refused', 'password'],
    ['without a password where one is asked for', { user: 'scrammed' }, 'database_refused', 'password'],
    [
      'for a database without the schema',
      { user: 'postbox_worker', database: 'template1' },
      'catalog_missing',
      'postbox install',
    ],
    ['as a role without rights in the catalog', { user: 'stranger' }, 'catalog_refused', 'backup_worker'],
  ])('%s ends at once with one line, a code and a hint', async (_, connect, code, hint) => {
    const worker = new WorkerProcess({ POSTBOX_DATABASE_URL: backedUp.postgres.url(connect) })
    expect(await worker.ended).toBe(1)
    const [line, hinted, ...more] = worker.log.trimEnd().split('\n')
    expect(line).toMatch(new RegExp(`^postbox: .* \\(${code}\\)$`))
    expect(hinted).toMatch(new RegExp(`^hint: .*${hint}`))
    expect(more).toEqual([])
    expect(worker.log).not.toMatch(/wrong|right/)
  })

  test('for an address where no Postgres answers says so', async () => {
    const worker = new WorkerProcess({
      POSTBOX_DATABASE_URL: `postgresql://postbox_worker@${new URL(backedUp.s3.endpoint).host}/postgres`,
    })
    try {
      await worker.says('database_unavailable')
    } finally {
      await worker.kill9()
    }
  })

  test('for a server that is down says so, waits, and begins when it is up', async () => {
    await backedUp.postgres.stop()
    const worker = backedUp.startWorker()
    await worker.says('"code":"database_unavailable"')
    await worker.says('is where POSTBOX_DATABASE_URL says')
    await backedUp.postgres.start()
    await worker.says('the worker has begun')
    await backedUp.backUp()
    expect(await worker.stop()).toBe(0)
  })
})

describe('a mistake that only concerns replication', () => {
  test.each([
    [
      'a role without the right REPLICATION',
      'mute',
      'replication_right_missing',
      'REPLICATION',
      () => backedUp.postgres.query('alter role mute replication'),
    ],
    ['a pg_hba.conf that lets no replication in', 'deaf', 'database_refused', 'pg_hba.conf', letReplicationIn],
  ])('%s is said in log, checks and job, and heals without a restart', async (_, user, code, hint, mend) => {
    backedUp.worker = new WorkerProcess(backedUp.databaseEnv(user))
    await backedUp.worker.says(`"code":"${code}"`)
    expect(await checkBecomes(backedUp, 'worker', 'crit')).toMatchObject({
      hint: expect.stringContaining(hint) as string,
    })
    await backedUp.postgres.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots')
    const job = await backedUp.ended(await backedUp.startBase())
    expect(job).toMatchObject({ state: 'failed', error_code: code })
    expect(job.error_hint).toContain(hint)
    await mend()
    await backedUp.backUp()
    await checkBecomes(backedUp, 'worker', 'ok')
    expect(await disagreementsButGaps()).toEqual([])
    expect(await backedUp.worker.stop()).toBe(0)
  })

  test('too few walsenders are said, and a job waits until one is free', async () => {
    const others = await takeAllSenders()
    const worker = backedUp.startWorker()
    await worker.says('"code":"wal_senders_exhausted"')
    await checkBecomes(backedUp, 'worker', 'crit')
    const jobId = await backedUp.startBase()
    await worker.says(`"job":"${jobId}","err":{"code":"wal_senders_exhausted"`)
    expect(await backedUp.job(jobId)).toMatchObject({ error_code: 'wal_senders_exhausted' })
    await Promise.all(others.map((other) => other.end()))
    expect(await backedUp.ended(jobId)).toMatchObject({ state: 'done' })
    await checkBecomes(backedUp, 'worker', 'ok')
    expect(await disagreementsButGaps()).toEqual([])
    expect(await worker.stop()).toBe(0)
  })

  test('a base backup that gets no walsender beside the WAL is tried again', async () => {
    const worker = backedUp.startWorker()
    await worker.says('streaming WAL')
    const others = await takeAllSenders(3)
    const jobId = await backedUp.startBase()
    await worker.says(`"job":"${jobId}","err":{"code":"wal_senders_exhausted"`)
    await writeSegments(backedUp, 1)
    await recordAllWal(backedUp)
    await Promise.all(others.map((other) => other.end()))
    expect(await backedUp.ended(jobId)).toMatchObject({ state: 'done' })
    expect(await worker.stop()).toBe(0)
  })

  test('too few replication slots are said, and the worker goes on when one is free', async () => {
    await backedUp.postgres.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots')
    for (const name of ['one', 'two'])
      await backedUp.postgres.query('select pg_create_physical_replication_slot($1)', [name])
    const worker = backedUp.startWorker()
    await worker.says('max_replication_slots')
    await checkBecomes(backedUp, 'worker', 'crit')
    await backedUp.postgres.query("select pg_drop_replication_slot('one')")
    await backedUp.backUp()
    await checkBecomes(backedUp, 'worker', 'ok')
  })
})

async function letReplicationIn(): Promise<void> {
  const local = 'local all all trust\nlocal replication all trust'
  const lines = HBA.replace('reject', 'trust')
  await writeFile(join(backedUp.postgres.dataDir, 'pg_hba.conf'), `${local}\n${lines}\n`)
  await backedUp.postgres.query('select pg_reload_conf()')
}

/** The slot was dropped by the tests themselves, so that a gap is right. */
async function disagreementsButGaps(): Promise<string[]> {
  return (await disagreements(backedUp)).filter((one) => !/gap/.test(one))
}

/** Opens replication connections that do nothing. */
async function takeAllSenders(count = 4): Promise<Client[]> {
  const clients: Client[] = []
  for (let n = 0; n < count; n++) {
    const options = { connectionString: backedUp.postgres.url(), replication: 'true' }
    const client = new Client(options)
    await client.connect()
    clients.push(client)
  }
  return clients
}
