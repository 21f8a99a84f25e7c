import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Grant } from '../../src/box/grant.js'
import type { Check } from '../../src/doctor/check.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { postbox, postboxOk } from '../sandbox/command.js'
import { freePort } from '../sandbox/ports.js'
import { TestIssuer } from '../sandbox/test-issuer.js'

const HBA = `host all scrammed 127.0.0.1/32 scram-sha-256
host replication deaf 127.0.0.1/32 reject
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust`
const PASSWORD = 'correct-horse-battery'
const TOKEN = 'pbx-this-token-is-sent-and-never-shown'

let backedUp: BackedUpServer

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ tls: true, hba: HBA, initdb: ['--wal-segsize=1'] })
  for (const [role, rest] of [
    ['scrammed', `replication in role backup_worker password '${PASSWORD}'`],
    ['deaf', 'replication in role backup_worker'],
    ['stranger', 'replication'],
    ['mute', 'in role backup_worker'],
  ] as const) {
    await backedUp.postgres.query(`create role ${role} login ${rest}`)
  }
  await backedUp.postgres.query('grant pg_read_all_data to postbox_worker')
})

afterAll(async () => {
  await backedUp.remove()
})

/** Runs it with --json; sees that the exit code says the same and that nothing secret is shown. */
async function examine(env: Record<string, string>): Promise<Record<string, Check>> {
  const { code, stdout, stderr } = await postbox(['doctor', '--json'], env)
  const { healthy, checks } = JSON.parse(stdout) as { healthy: boolean; checks: Check[] }
  expect({ code, stderr }).toEqual({ code: healthy ? 0 : 1, stderr: '' })
  expect(healthy).toBe(checks.every(({ state }) => state !== 'fail'))
  const [row] = await backedUp.postgres.query<{ grant: Grant }>('select backup._grant() as grant')
  const { policy, 'x-amz-signature': signature } = row!.grant.fields
  for (const secret of [policy!, signature!, PASSWORD, TOKEN]) expect(stdout).not.toContain(secret)
  return Object.fromEntries(checks.map((check) => [check.name, check]))
}

const failures = (checks: Record<string, Check>) =>
  Object.values(checks).flatMap(({ name, state, code }) =>
    state === 'fail' ? [code === undefined ? name : `${name}: ${code}`] : [],
  )

describe('postbox doctor', () => {
  test('finds nothing wrong beside a worker that runs, and says what it saw', async () => {
    await backedUp.backUp()
    await backedUp.untilDurable()
    const issuer = await TestIssuer.start(backedUp)
    const checks = await examine({ ...backedUp.databaseEnv(), ...issuer.workerEnv }).finally(() => issuer.close())
    expect(failures(checks)).toEqual([])
    for (const [name, seen] of [
      ['database', /^postgres at 127\.0\.0\.1:\d+, as postbox_worker$/],
      ['server_version', /^Postgres 18/],
      ['schema', /^as this version/],
      ['role', /is a member of backup_worker$/],
      ['replication_right', /may replicate$/],
      ['dump_right', /may read all tables$/],
      ['worker', /^a worker runs$/],
      ['replication', /^system \d+, timeline 1$/],
      ['wal_level', /^replica$/],
      ['max_wal_senders', /^1 of \d+ in use$/],
      ['slot', /^postbox is read from and keeps \d+ MiB of WAL$/],
      ['max_slot_wal_keep_size', /^no limit/],
      ['database_clock', /less than 2 s apart$/],
      ['box_clock', /less than 2 s apart$/],
      ['grant', /^for db1 in backups, until /],
      ['post', /^db1\/doctor-[0-9a-f]{12}\.txt is stored, as a version$/],
      ['box_encryption', /by TLS$/],
    ] as const) {
      expect(checks[name]).toMatchObject({ name, state: 'ok', seen: expect.stringMatching(seen) as string, hint: null })
    }
    // The token of this issuer goes over plain HTTP.
    expect(checks['issuer']).toMatchObject({
      state: 'warn',
      seen: expect.stringMatching(/signs for db1 until /) as string,
    })
    expect(checks['disk']!.state).toBe('unknown')
  })

  test('changes nothing in the database, and leaves one object that nobody takes for a backup', async () => {
    await backedUp.worker.stop()
    const next = async () =>
      (await backedUp.postgres.query('select pg_snapshot_xmax(pg_current_snapshot())::text x'))[0]
    const before = await next()
    for (let times = 0; times < 2; times++) {
      const { code, stdout } = await postbox(['doctor'], backedUp.databaseEnv())
      expect(code).toBe(0)
      expect(stdout).toMatch(/^ok {4}post {20}db1\/doctor-.* is stored/m)
      expect(stdout).toMatch(/^warn {2}slot .*nobody reads from it\n {6}hint: Start "postbox worker"/m)
      expect(stdout).toMatch(/\nNothing failed; \d of \d+ checks warn\.\n$/)
    }
    expect(await next()).toEqual(before)
    expect(backedUp.bucket.keys().filter((key) => key.includes('doctor'))).toHaveLength(1)
    expect(await postboxOk(['verify', '--server', 'db1', '--deep'], backedUp.keyholderEnv)).not.toContain('doctor')
    expect(await postboxOk(['list'], backedUp.keyholderEnv)).not.toContain('doctor')
  })

  test.each([
    [
      'a wrong password',
      { user: 'scrammed', password: `${PASSWORD}!` },
      ['database: database_refused'],
      'database',
      /password/,
    ],
    [
      'a database without the schema',
      { user: 'postbox_worker', database: 'template1' },
      ['schema: catalog_missing', 'worker: catalog_missing'],
      'schema',
      /postbox install/,
    ],
    [
      'a role that is not the worker',
      { user: 'stranger' },
      ['role', 'worker: catalog_refused'],
      'role',
      /GRANT backup_worker/,
    ],
    [
      'a role without REPLICATION',
      { user: 'mute' },
      ['replication_right', 'replication: replication_right_missing'],
      'replication_right',
      /ALTER ROLE/,
    ],
    [
      'a pg_hba.conf that lets no replication in',
      { user: 'deaf' },
      ['replication: database_refused'],
      'replication',
      /pg_hba\.conf/,
    ],
  ])('says by name and with a hint what is wrong: %s', async (_, connect, failing, name, hint) => {
    const checks = await examine({ ...backedUp.databaseEnv(), POSTBOX_DATABASE_URL: backedUp.postgres.url(connect) })
    expect(failures(checks)).toEqual(failing)
    expect(checks[name]!.hint).toMatch(hint)
  })

  test('asks for no REPLICATION where WAL is not wanted', async () => {
    await backedUp.postgres.query(`select backup.configure('stream_wal', 'off')`)
    const mute = { POSTBOX_DATABASE_URL: backedUp.postgres.url({ user: 'mute' }) }
    const checks = await examine({ ...backedUp.databaseEnv(), ...mute })
    await backedUp.postgres.query(`select backup.configure('stream_wal', null)`)
    expect(failures(checks)).toEqual([])
    expect(checks['replication']!.seen).toContain('stream_wal is off')
  })

  test('sees a schema of another version', async () => {
    await backedUp.postgres.query('alter function backup.can_restore_to(timestamptz) rename to can_be_restored_to')
    const checks = await examine(backedUp.databaseEnv())
    await backedUp.postgres.query('alter function backup.can_be_restored_to(timestamptz) rename to can_restore_to')
    expect(checks['schema']).toMatchObject({
      state: 'fail',
      seen: 'of another version: can_restore_to() is missing',
      hint: expect.stringContaining('postbox install') as string,
    })
  })

  test('says what is wrong with the issuer and posts with the grant that is installed', async () => {
    const away = { POSTBOX_ISSUER_URL: `http://127.0.0.1:${await freePort()}`, POSTBOX_ISSUER_TOKEN: TOKEN }
    const checks = await examine({ ...backedUp.databaseEnv(), ...away })
    expect(failures(checks)).toEqual(['issuer: issuer_unavailable'])
    expect(checks['post']!.state).toBe('ok')
    const issuer = await TestIssuer.start(backedUp)
    const refused = { ...issuer.workerEnv, POSTBOX_ISSUER_TOKEN: TOKEN }
    expect(failures(await examine({ ...backedUp.databaseEnv(), ...refused }))).toEqual(['issuer: issuer_refused'])
    await issuer.close()
  })

  test('looks at the servers that WAL is read from, each by its address', async () => {
    const { postgres } = backedUp
    const away = `postgresql://postbox_worker@127.0.0.1:${await freePort()}/postgres`
    const sources = `${postgres.url({ user: 'postbox_worker' })},${away}`
    const { code, stdout } = await postbox(['doctor'], { ...backedUp.databaseEnv(), POSTBOX_SOURCE_URL: sources })
    expect(code).toBe(1)
    expect(stdout).toMatch(new RegExp(`^ok {4}replication {13}127\\.0\\.0\\.1:${postgres.port}: system `, 'm'))
    expect(stdout).toMatch(/^FAIL {2}source .*\(database_unavailable\)\n {6}hint: /m)
    expect(stdout).toMatch(/\n1 of \d+ checks failed\.\n$/)
  })

  test('sees that the certificate of the box is not trusted', async () => {
    const checks = await examine({ ...backedUp.databaseEnv(), POSTBOX_CA_FILE: '/dev/null' })
    expect(failures(checks)).toEqual(['post: box_unavailable'])
    expect(checks['post']!.hint).toContain('POSTBOX_CA_FILE')
    expect(checks['box_clock']!.state).toBe('unknown')
  })
})
