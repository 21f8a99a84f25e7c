import { PutObjectLockConfigurationCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openS3 } from '../../src/keyholder/s3-client.js'
import { cephAvailable } from '../sandbox/ceph/available.js'
import { startCeph } from '../sandbox/ceph/ceph.js'
import { keyholderEnv, postbox, postboxOk } from '../sandbox/command.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'

interface Answer {
  immutable: boolean
  retention: { mode: string; until: string } | null
  oldest_signature_seconds: number
  findings: { name: string; outcome: string; seen: string }[]
}

type Place = Parameters<typeof keyholderEnv>[0]

async function probe(s3: Place, bucket: string): Promise<Answer & { bad: string[]; code: number | null }> {
  const { code, stdout, stderr } = await postbox(['probe', '--json'], keyholderEnv(s3, bucket))
  if (stdout === '') throw new Error(stderr)
  const answer = JSON.parse(stdout) as Answer
  return { ...answer, code, bad: answer.findings.filter((one) => one.outcome !== 'good').map(({ name }) => name) }
}

const NO_VERSIONS = 'a second post under a key makes a version, and the first stays'
const NO_RETENTION = 'a posted version is retained by Object Lock'

describe('postbox probe', () => {
  let s3: LocalS3
  beforeAll(async () => {
    s3 = await startS3({
      buckets: [{ name: 'plain' }, { name: 'versioned', versioned: true }, { name: 'lock', lock: true }],
    })
  })
  afterAll(() => s3.close())

  test('finds nothing wrong with a bucket that retains what is posted, and only that one immutable', async () => {
    const found = await probe(s3, 'lock')
    expect(found).toMatchObject({ code: 0, bad: [], immutable: true, retention: { mode: 'COMPLIANCE' } })
    expect(Date.parse(found.retention!.until)).toBeGreaterThan(Date.now())
    expect(found.oldest_signature_seconds).toBeGreaterThan(3000)
  })

  test('says what a bucket without Object Lock, or without versions, cannot do', async () => {
    expect(await probe(s3, 'versioned')).toMatchObject({
      code: 1,
      immutable: false,
      retention: null,
      bad: [NO_RETENTION],
    })
    expect(await probe(s3, 'plain')).toMatchObject({ code: 1, immutable: false, bad: [NO_VERSIONS, NO_RETENTION] })
    const { stdout } = await postbox(['probe'], keyholderEnv(s3, 'versioned'))
    expect(stdout).toContain('Not immutable')
    expect(stdout).not.toMatch(/^Immutable/m)
  })

  test('leaves nothing behind but its result, which the list shows', async () => {
    const bucket = s3.bucket('versioned')
    expect(bucket.keys().every((key) => key.startsWith('.postbox/probe/result-'))).toBe(true)
    expect(await postboxOk(['list'], keyholderEnv(s3, 'versioned'))).toMatch(/probed .*: not immutable/)
    await probe(s3, 'lock')
    expect(await postboxOk(['list'], keyholderEnv(s3, 'lock'))).toMatch(/probed .*: immutable/)
  })
})

describe.skipIf(!(await cephAvailable()))('a real Ceph', () => {
  test('keeps to policies and retains what is posted', async () => {
    const ceph = await startCeph({ buckets: ['lock:lock', 'versioned:versioned'] })
    try {
      const place = { ...ceph, endpoint: ceph.tlsEndpoint }
      const credentials = { accessKeyId: ceph.accessKey, secretAccessKey: ceph.secretKey }
      const s3 = openS3({ ...place, bucket: 'lock', pathStyle: true }, { credentials })
      const rule = { DefaultRetention: { Mode: 'COMPLIANCE' as const, Days: 1 } }
      const configuration = { ObjectLockEnabled: 'Enabled' as const, Rule: rule }
      await s3.send(new PutObjectLockConfigurationCommand({ Bucket: 'lock', ObjectLockConfiguration: configuration }))
      s3.destroy()
      const found = await probe(place, 'lock')
      // It overlooks the checksum of a form.
      const checksum = 'bytes that differ from their SHA-256: refused'
      expect(found).toMatchObject({ code: 0, bad: [checksum], immutable: true, retention: { mode: 'COMPLIANCE' } })
      expect(await probe(place, 'versioned')).toMatchObject({ immutable: false, bad: [checksum, NO_RETENTION] })
    } finally {
      await ceph.stop()
    }
  })
})
