import { copyFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { disagreements } from '../faults/agreement.js'
import { hold } from '../faults/hold.js'
import { checkOf } from '../faults/observe.js'
import { ArchivingServer, hasPerl } from '../sandbox/archiving.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { program } from '../sandbox/program.js'
import { run } from '../sandbox/run.js'
import { removeScratch, scratchDir } from '../sandbox/scratch.js'
import { until } from '../sandbox/until.js'

const SEGMENT = /\/wal\/[0-9A-F]{8}\//

let backedUp: BackedUpServer
let archiving: ArchivingServer
let byWorker: Record<string, string>
/** the same, where only Node is found */
let withoutPerl: Record<string, string>

beforeAll(async () => {
  backedUp = await BackedUpServer.start({
    workerAsSandboxUser: true,
    initdb: ['--wal-segsize=1'],
    settings: { archive_mode: 'on', wal_keep_size: '128MB' },
  })
  archiving = new ArchivingServer(backedUp)
  byWorker = { POSTBOX_SOCKET: backedUp.databaseEnv().POSTBOX_SOCKET! }
  withoutPerl = { ...byWorker, PATH: dirname((await program()).node) }
  await backedUp.worker.says('streaming WAL')
  await archiving.byWorker()
})

afterAll(async () => {
  await backedUp.remove()
  await removeScratch()
})

const posts = (): number =>
  backedUp.s3.requests.filter(({ op, key }) => op === 'PostObject' && SEGMENT.test(key!)).length

/** A copy of an archived segment under its own name, changed. */
async function changedCopy(name: string, change: (content: Buffer) => Buffer): Promise<string> {
  const path = join(await scratchDir('changed'), name)
  await writeFile(path, change(await readFile(archiving.walPath(name))))
  return path
}

/** The stream stops and cannot begin again, as where the worker may not replicate. */
async function stopStreaming(): Promise<void> {
  await backedUp.postgres.query('alter role postbox_worker noreplication')
  await backedUp.postgres.query(
    "select pg_terminate_backend(pid) from pg_stat_replication where application_name = 'postbox'",
  )
  await until('nothing streams', async () => {
    const rows = await backedUp.postgres.query("select from pg_stat_replication where application_name = 'postbox'")
    return rows.length === 0
  })
}

/** What the worker says of a file after what it had said before, when it has said `last` of it. */
async function answers(file: string, before: string, last: string): Promise<string[]> {
  return until(`the worker answers "${last}" for ${file}`, () => {
    const lines = backedUp.worker.log.slice(before.length).split('\n')
    const said = lines.filter((line) => line.includes('archive-wal is answered') && line.includes(file))
    const found = said.map((line) => JSON.parse(line) as { outcome: string; by: string })
    const texts = found.map(({ outcome, by }) => `${outcome} by ${by}`)
    return texts.at(-1) === last ? texts : null
  })
}

async function streamAgain(): Promise<void> {
  await backedUp.postgres.query('alter role postbox_worker replication')
  await until('the worker streams', async () => {
    const rows = await backedUp.postgres.query("select from pg_stat_replication where application_name = 'postbox'")
    return rows.length === 1
  })
}

test('a segment that is streamed and archived is stored once', async () => {
  const names = []
  for (let n = 0; n < 6; n++) names.push(await archiving.writeSegment())
  await archiving.archived(names.at(-1)!)
  expect(await archiving.archiver()).toMatchObject({ failed_count: '0' })
  const versions = archiving.versions()
  expect(names.map((name) => versions[name])).toEqual(names.map(() => 1))
  expect(await disagreements(backedUp)).toEqual([])
})

test('an idle server settles with both ways on', async () => {
  await backedUp.postgres.query("alter system set archive_timeout = '1s'")
  await backedUp.postgres.query('select pg_reload_conf()')
  const position = async () => {
    const rows = await backedUp.postgres.query<{ at: string }>('select pg_current_wal_insert_lsn()::text at')
    return rows[0]!.at
  }
  let at = ''
  let since = Date.now()
  await until('no WAL is written for four times the timeout', async () => {
    const now = await position()
    if (now !== at) since = Date.now()
    at = now
    return Date.now() - since > 4000
  })
  await backedUp.postgres.query('alter system reset archive_timeout')
  await backedUp.postgres.query('select pg_reload_conf()')
  expect(await archiving.archiver()).toMatchObject({ failed_count: '0' })
})

test('the same segment again is a success and is not posted', async () => {
  const name = await archiving.writeSegment()
  await archiving.archived(name)
  const before = posts()
  expect(await archiving.call(join('pg_wal', name), byWorker)).toEqual({ code: 0, stdout: '', stderr: '' })
  expect(await archiving.call(archiving.walPath(name), archiving.aloneEnv)).toEqual({ code: 0, stdout: '', stderr: '' })
  expect(posts()).toBe(before)
})

test('a segment that the worker cannot read by itself is sent to it', async () => {
  const name = await archiving.writeSegment()
  await archiving.archived(name)
  const link = join(await scratchDir('link'), name)
  await symlink(archiving.walPath(name), link)
  const unreadable = hasPerl ? ['unreadable by name'] : []
  for (const [path, env, first] of [
    [link, byWorker, unreadable] as const,
    [`pg_wal/${name}`, withoutPerl, []] as const,
  ]) {
    const before = backedUp.worker.log
    expect(await archiving.call(path, env)).toEqual({ code: 0, stdout: '', stderr: '' })
    expect(await answers(name, before, 'known by bytes')).toEqual([...first, 'known by bytes'])
  }
})

test('archive-wal leaves everything in the data directory as it is', async () => {
  const name = await archiving.writeSegment()
  await archiving.archived(name)
  const data = await scratchDir('data')
  await mkdir(join(data, 'pg_wal/archive_status'), { recursive: true })
  await copyFile(archiving.walPath(name), join(data, 'pg_wal', name))
  await writeFile(join(data, 'pg_wal/archive_status', `${name}.ready`), '')
  await run('chmod', ['-R', 'a+rwX', data])
  const contents = () => run('find', [data, '-printf', '%P %y %s %T@ %C@\n'])
  const before = await contents()
  for (const env of [byWorker, withoutPerl, archiving.aloneEnv]) {
    expect(await archiving.call(join(data, 'pg_wal', name), env)).toMatchObject({ code: 0 })
  }
  expect(await contents()).toBe(before)
})

test('other bytes for a known segment are refused and not posted', async () => {
  const name = await archiving.writeSegment()
  await archiving.archived(name)
  const path = await changedCopy(name, (content) => Buffer.from(content.fill(0x77, 9000, 9100)))
  const before = posts()
  for (const env of [byWorker, withoutPerl, archiving.aloneEnv]) {
    const { code, stderr } = await archiving.call(path, env)
    expect(code).toBe(1)
    expect(stderr).toMatch(
      new RegExp(`^postbox: WAL segment ${name} was stored before with other content.*wal_conflict`),
    )
  }
  expect(posts()).toBe(before)
})

/** The name of an archived segment that is stored and whose row is held back, as nobody but Postbox wrote in it. */
async function heldSegment(): Promise<string> {
  return until('the row of a segment is held back', async () => {
    const [switched] = await backedUp.postgres.query<{ name: string }>(
      'select pg_walfile_name(pg_switch_wal()) as name',
    )
    const { name } = switched!
    await archiving.archived(name)
    const rows = await backedUp.postgres.query('select from backup.objects where key ~ $1', [name])
    return rows.length === 0 ? name : null
  })
}

test('other bytes for a segment that is stored and has no row yet are refused, and the check says so', async () => {
  await backedUp.postgres.query("select backup._report_problem('archive', null)")
  const name = await heldSegment()
  const path = await changedCopy(name, (content) => Buffer.from(content.fill(0x77, 9000, 9100)))
  const before = posts()
  for (const env of [byWorker, withoutPerl]) {
    const { code, stderr } = await archiving.call(path, env)
    expect(code).toBe(1)
    expect(stderr).toMatch(
      new RegExp(`^postbox: WAL segment ${name} was stored before with other content.*wal_conflict`),
    )
  }
  expect(await archiving.call(archiving.walPath(name), byWorker)).toMatchObject({ code: 0 })
  expect(posts()).toBe(before)
  expect(await checkOf(backedUp, 'worker')).toMatchObject({
    state: 'crit',
    message: expect.stringContaining(`WAL segment ${name} was stored before`) as string,
    hint: expect.stringContaining('split brain') as string,
  })
})

test('a segment that is cut off, or of another name or server, is refused', async () => {
  const name = await archiving.writeSegment()
  await archiving.archived(name)
  const next = `${name.slice(0, 16)}${'FFF'.padStart(8, '0')}`
  const cut = await changedCopy(name, (content) => content.subarray(0, 500_000))
  const renamed = join(await scratchDir('renamed'), next)
  await copyFile(archiving.walPath(name), renamed)
  const stranger = join(await scratchDir('stranger'), next)
  const content = await readFile(archiving.walPath(name))
  content.writeBigUInt64LE(BigInt(`0x${next.slice(16)}`) * 1048576n, 8)
  content.writeBigUInt64LE(7n, 24)
  await writeFile(stranger, content)
  const before = posts()
  for (const env of [byWorker, withoutPerl, archiving.aloneEnv]) {
    for (const [path, problem] of [
      [cut, /has 500000 bytes instead of 1048576 \(wal_invalid\)/],
      [renamed, /begins at .* by its header \(wal_invalid\)/],
      [stranger, /belongs to system 7 \(wal_invalid\)/],
      [join(await scratchDir('none'), name), /cannot be read: ENOENT/],
      ['postgresql.conf', /is no file that Postgres archives/],
    ] as const) {
      const { code, stderr } = await archiving.call(path, env)
      expect(code).toBe(1)
      expect(stderr).toMatch(problem)
    }
  }
  expect(posts()).toBe(before)
})

test('without a stream the worker stores what it is given', async () => {
  await stopStreaming()
  const before = backedUp.worker.log
  const names = []
  for (let n = 0; n < 3; n++) names.push(await archiving.writeSegment())
  await archiving.archived(names.at(-1)!)
  const stored = hasPerl ? 'stored by name' : 'stored by bytes'
  for (const name of names) expect(await answers(name, before, stored)).toEqual([stored])
  const versions = archiving.versions()
  expect(names.map((name) => versions[name])).toEqual([1, 1, 1])
  const rows = await backedUp.postgres.query("select from backup.objects where kind = 'segment' and key ~ any ($1)", [
    names,
  ])
  expect(rows).toHaveLength(3)
  await streamAgain()
  expect(await disagreements(backedUp)).toEqual([])
})

test('a worker that is killed with a segment in its hands leaves it to Postgres', async () => {
  await stopStreaming()
  const held = hold(backedUp.s3, 'before-store', { key: SEGMENT })
  const before = await archiving.archiver()
  const name = await archiving.writeSegment()
  await held.reached()
  await backedUp.worker.kill9()
  const failed = await archiving.failedAfter(before)
  expect(failed).toMatchObject({ last_failed_wal: name })
  expect(await backedUp.postgres.log()).toContain('worker_unreachable')
  held.release()
  backedUp.startWorker()
  await backedUp.worker.says('archive-wal is served')
  await archiving.archived(name)
  await streamAgain()
  expect(await disagreements(backedUp)).toEqual([])
})

test('a worker takes the place of the socket that a killed one left', async () => {
  await backedUp.worker.kill9()
  backedUp.startWorker()
  await backedUp.worker.says('archive-wal is served')
  const second = backedUp.worker
  const name = await archiving.writeSegment()
  await archiving.archived(name)
  expect(await second.stop()).toBe(0)
  const { code, stderr } = await archiving.call(archiving.walPath(name), byWorker)
  expect(code).toBe(1)
  expect(stderr).toMatch(
    /^postbox: no worker answers at .*ENOENT.*\(worker_unreachable\)\nhint: Start "postbox worker"/,
  )
  backedUp.startWorker()
  await backedUp.worker.says('streaming WAL')
})
