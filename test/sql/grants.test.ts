import { beforeEach, describe, expect, test } from 'vitest'
import type { Grant } from '../../src/box/grant.js'
import { postgresVersions } from '../sandbox/postgres.js'
import { makeGrant } from '../sandbox/s3/test-grant.js'
import { until } from '../sandbox/until.js'
import { installedServer } from './installed-server.js'

const issuer = {
  endpoint: 'http://127.0.0.1:9',
  region: 'us-east-1',
  accessKey: 'AKIDEXAMPLE',
  secretKey: 'secret',
} as const

type Policy = { expiration: string; conditions: unknown[] }

const signed = (server = 'db1', expiresInSeconds = 3600): Promise<Grant> =>
  makeGrant(issuer, { server, bucket: 'backups', expiresInSeconds })

/** The grant with another policy; whether the signature fits is for S3 to find. */
async function repoliced(change: (policy: Policy) => void): Promise<Grant> {
  const grant = await signed()
  const policy = JSON.parse(Buffer.from(grant.fields['policy']!, 'base64').toString()) as Policy
  change(policy)
  const text = Buffer.from(JSON.stringify(policy)).toString('base64')
  return { ...grant, fields: { ...grant.fields, policy: text } }
}

const without = (name: string) => (policy: Policy) => {
  policy.conditions = policy.conditions.filter((one) => !JSON.stringify(one).toLowerCase().includes(name))
}
const also = (condition: unknown) => (policy: Policy) => {
  policy.conditions.push(condition)
}
const altered = async (change: Record<string, unknown>): Promise<unknown> => ({ ...(await signed()), ...change })
const fieldless = async (name: string): Promise<unknown> => {
  const { fields, ...grant } = await signed()
  return { ...grant, fields: Object.fromEntries(Object.entries(fields).filter(([field]) => field !== name)) }
}
const withField = async (name: string, value: unknown): Promise<unknown> => {
  const grant = await signed()
  return { ...grant, fields: { ...grant.fields, [name]: value } }
}

const refusals: [what: string, grant: () => Promise<unknown>, reason: RegExp][] = [
  ['null', () => Promise.resolve(null), /not a grant of format 1/],
  ['an array', () => Promise.resolve([]), /not a grant of format 1/],
  ['another format', () => altered({ postbox_grant: 2 }), /not a grant of format 1/],
  ['no bucket', () => altered({ bucket: undefined }), /it has no bucket/],
  ['a number for a url', () => altered({ url: 1 }), /it has no url/],
  ['a server that is none', () => altered({ server: '../x', key_prefix: '../x/' }), /server name is none/],
  ['another prefix', () => altered({ key_prefix: 'db2/' }), /key_prefix is not its server/],
  ['a url with a query', () => altered({ url: 'https://s3.example/b?x=1' }), /not the plain address/],
  ['a url with a user', () => altered({ url: 'https://u:p@s3.example/b' }), /not the plain address/],
  ['a file url', () => altered({ url: 'file:///etc/passwd' }), /not the plain address/],
  ['no part limit', () => altered({ max_part_bytes: 0 }), /max_part_bytes is not a positive number/],
  ['half a byte', () => altered({ max_part_bytes: 1.5 }), /max_part_bytes is not a positive number/],
  ['a larger limit than signed', () => altered({ max_part_bytes: 1 }), /does not allow parts of up to max_part_bytes/],
  ['an end before its begin', () => altered({ issued_at: '2999-01-01T00:00:00Z' }), /two moments in order/],
  ['an end with an offset', () => altered({ expires_at: '2999-01-01T00:00:00+01:00' }), /in UTC with Z/],
  ['an end that is no date', () => altered({ expires_at: '2999-13-41T00:00:00Z' }), /two moments in order/],
  [
    'another end than signed',
    () => altered({ expires_at: '2999-01-01T00:00:00Z' }),
    /not the expiration of its policy/,
  ],
  ['another bucket than signed', () => altered({ bucket: 'other' }), /not for the bucket that it names/],
  ['no fields', () => altered({ fields: [] }), /not plain text under lower-case names/],
  ['an upper-case field', () => withField('X-Amz-Meta', 'x'), /lower-case names/],
  ['a field with a line end', () => withField('x-amz-meta', 'a\r\nb'), /not plain text/],
  ['a field that is no text', () => withField('x-amz-meta', 5), /not plain text/],
  ['a key field', () => withField('key', 'x'), /field key is the worker's/],
  ['a field nobody signed', () => withField('x-amz-meta-a', 'x'), /no condition on the field x-amz-meta-a/],
  ['an acl field', () => withField('acl', 'public-read'), /no condition on the field acl/],
  ['no signature', () => fieldless('x-amz-signature'), /has no field x-amz-signature/],
  ['no policy', () => fieldless('policy'), /has no field policy/],
  ['half a signature', () => withField('x-amz-signature', 'abc'), /not 64 hex digits/],
  ['a policy that is no base64', () => withField('policy', '%%%'), /not base64 of a POST policy/],
  ['a policy that is no JSON', () => withField('policy', Buffer.from('{').toString('base64')), /not base64 of a POST/],
  [
    'a policy that is no policy',
    () => withField('policy', Buffer.from('[]').toString('base64')),
    /not base64 of a POST/,
  ],
  ['a policy that is no UTF-8', () => withField('policy', Buffer.from([0xff, 0xfe]).toString('base64')), /not base64/],
  ['another credential', () => withField('x-amz-credential', 'x'), /credential is not that of its policy/],
  ['another date', () => withField('x-amz-date', '20200101T000000Z'), /date is not that of its policy/],
  ['another status', () => withField('success_action_status', '200'), /field success_action_status is not as/],
  ['a policy without bucket', () => repoliced(without('"bucket"')), /not for the bucket/],
  ['a policy without prefix', () => repoliced(without('$key')), /does not allow keys under key_prefix/],
  [
    'a policy for one key',
    () => repoliced((p) => (without('$key')(p), also({ key: 'db1/x' })(p))),
    /keys under key_prefix/,
  ],
  ['a policy without limit', () => repoliced(without('content-length-range')), /does not allow parts of up to/],
  ['a policy without checksum', () => repoliced(without('$x-amz-checksum-sha256')), /does not allow a SHA-256/],
  ['a policy without algorithm', () => repoliced(without('x-amz-algorithm')), /not signed with AWS4-HMAC-SHA256/],
  [
    'a policy with status 204',
    () => repoliced((p) => (without('success')(p), also({ success_action_status: '204' })(p))),
    /status 201/,
  ],
  ['a policy with an acl', () => repoliced(also({ acl: 'public-read' })), /condition on acl/],
  [
    'a policy with a redirect',
    () => repoliced(also(['starts-with', '$success_action_redirect', ''])),
    /condition on success_action_redirect/,
  ],
  ['a policy with tags', () => repoliced(also(['starts-with', '$tagging', ''])), /condition on tagging/],
  [
    'a policy with a field that is not there',
    () => repoliced(also({ 'x-amz-meta-a': 'x' })),
    /field x-amz-meta-a is not as/,
  ],
]

describe.each(postgresVersions)('grants on Postgres %i', (version) => {
  const catalog = installedServer(version)
  const install = (grant: unknown, user = 'olga') =>
    catalog.value<Date>('select backup.install_grant($1)', [JSON.stringify(grant)], user)
  const setting = () => catalog.value(`select value from backup.settings where setting = 'server'`)

  beforeEach(async () => {
    await catalog.rows('delete from backup._grant; ')
    await catalog.rows(`select backup.configure('server', null)`)
  })

  test('the first grant names the server, and the worker gets it whole', async () => {
    const grant = await signed()
    expect(await install(grant)).toEqual(new Date(grant.expires_at))
    expect(await setting()).toBe('db1')
    expect(await catalog.value('select backup._grant()', [], 'walt')).toEqual(grant)
  })

  test.each(refusals)('%s is refused, and the reason is said without its secrets', async (_, make, reason) => {
    const grant = await make()
    const text = 'select backup.install_grant($1)'
    const error = await catalog.error(text, [JSON.stringify(grant)], 'olga')
    expect(error).toMatchObject({ code: 'PB003', message: expect.stringMatching(reason) as string })
    expect(error.hint).toContain('postbox grant --server')
    const secrets = Object.values((grant as Partial<Grant> | null)?.fields ?? {}).filter((value) => value.length > 20)
    for (const secret of secrets) expect(JSON.stringify(error)).not.toContain(secret)
    expect(await catalog.rows('select from backup.grants')).toEqual([])
    expect(await setting()).toBeNull()
  })

  test('an expired grant is refused as such', async () => {
    const grant = await makeGrant(issuer, { server: 'db1', bucket: 'backups', expiresInSeconds: 60, clockMinutes: -2 })
    expect(await catalog.error('select backup.install_grant($1)', [JSON.stringify(grant)])).toMatchObject({
      code: 'PB004',
      message: `the grant cannot be used: it ended at ${grant.expires_at}`,
    })
  })

  test('a grant for another server is refused by both names', async () => {
    await install(await signed('db1'))
    const error = await catalog.error('select backup.install_grant($1)', [JSON.stringify(await signed('db2'))])
    expect(error).toMatchObject({
      code: 'PB005',
      message: 'the grant cannot be used: it is for db2 and this server is db1',
    })
    expect(error.hint).toContain('--server db1')
  })

  test('of several grants the one that ends last is used, whatever came last', async () => {
    const [long, short] = [await signed('db1', 7200), await signed('db1', 1800)]
    await install(long)
    await install(short, 'walt')
    expect(await catalog.value('select backup._grant()', [], 'walt')).toEqual(long)
    const rows = await catalog.rows('select * from backup.grants order by expires_at', [], 'mona')
    expect(rows).toMatchObject([{ in_use: false }, { in_use: true, bucket: 'backups', key_prefix: 'db1/' }])
    expect(JSON.stringify(rows)).not.toContain(long.fields['x-amz-signature'])
  })

  test('the same grant twice is kept once, and wakes the worker once', async () => {
    const listener = await (await catalog.server()).connect()
    const heard: (string | undefined)[] = []
    listener.on('notification', ({ payload }) => heard.push(payload))
    await listener.query('listen postbox')
    const grant = await signed()
    await install(grant)
    await install(grant)
    await catalog.rows(`notify postbox, 'end'`)
    while (!heard.includes('end')) await listener.query('select 1')
    await listener.end()
    expect(heard).toEqual(['setting', 'grant', 'end'])
    expect(await catalog.rows('select from backup.grants')).toHaveLength(1)
  })

  test('grants that have ended are dropped when a new one comes, and are never given out', async () => {
    await install(await signed('db1', 3600))
    await catalog.rows(
      `update backup._grant set issued_at = now() - interval '2 h', expires_at = now() - interval '1 h'`,
    )
    expect(await catalog.value('select backup._grant()', [], 'walt')).toBeNull()
    expect(await catalog.rows('select in_use from backup.grants')).toEqual([{ in_use: false }])
    await install(await signed('db1', 1800))
    expect(await catalog.rows('select in_use from backup.grants')).toEqual([{ in_use: true }])
  })

  test.each(['postbox', 'ANY 1 (*)'])(
    'is replaced, and settings are changed, while COMMITs wait for %s',
    async (whom) => {
      const session = await (await catalog.server()).connect()
      await session.query('set synchronous_commit = local')
      const waitFor = async (names: string) => {
        await session.query(`alter system set synchronous_standby_names = '${names}'`)
        await session.query('select pg_reload_conf()')
        await until(
          'the setting is in force',
          async () => (await catalog.value('show synchronous_standby_names')) === names,
        )
      }
      await waitFor(whom)
      let done = 0
      const cure = (async () => {
        await catalog.rows('select backup.install_grant($1)', [await signed()], 'olga')
        done++
        await catalog.rows(`select backup.configure('stream_wal', 'off')`, [], 'olga')
        done++
      })()
      await until('both have returned', () => done === 2, 10_000).finally(() => waitFor(''))
      await cure
      await catalog.rows(`select backup.configure('stream_wal', null)`)
      await session.end()
    },
  )
})
