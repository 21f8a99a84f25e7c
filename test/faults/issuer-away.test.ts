import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createIssuer } from '../../src/keyholder/issuer.js'
import { openKnownServers } from '../../src/keyholder/known-servers.js'
import { openS3 } from '../../src/keyholder/s3-client.js'
import { hashToken, newToken } from '../../src/keyholder/token.js'
import { createLog } from '../../src/log.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { freePort } from '../sandbox/ports.js'
import { scratchDir } from '../sandbox/scratch.js'
import { until } from '../sandbox/until.js'
import { disagreements } from './agreement.js'
import { checkBecomes, checkOf, writeSegments } from './observe.js'
import { showLogOfFailures } from './show-log.js'

const token = newToken()

let backedUp: BackedUpServer
let port: number
let issuer: FastifyInstance | null = null

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
  port = await freePort()
})

afterAll(async () => {
  await issuer?.close()
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

beforeEach(async () => {
  await stopIssuer()
  await backedUp.worker.stop()
})

async function startIssuer(grantLife: string): Promise<void> {
  const file = join(await scratchDir('issuer'), 'keyholder.yaml')
  const lines = `    token_sha256: ${hashToken(token).toString('hex')}\n    grant_life: ${grantLife}\n`
  await writeFile(file, `servers:\n  db1:\n${lines}`)
  const log = createLog('silent')
  const { accessKey, secretKey, endpoint, region } = backedUp.s3
  const credentials = { accessKeyId: accessKey, secretAccessKey: secretKey }
  const s3 = openS3({ bucket: 'backups', endpoint, region, pathStyle: true, caFile: null }, { credentials })
  issuer = createIssuer({ s3, bucket: 'backups', servers: await openKnownServers(file, log), log })
  await issuer.listen({ host: '127.0.0.1', port })
}

async function stopIssuer(): Promise<void> {
  await issuer?.close()
  issuer = null
}

function startWorker(withToken = token.reveal()): void {
  backedUp.startWorker({ POSTBOX_ISSUER_URL: `http://127.0.0.1:${port}`, POSTBOX_ISSUER_TOKEN: withToken })
}

test('a worker has its first grant from the issuer, without anybody who installs one', async () => {
  await backedUp.postgres.query('delete from backup._grant')
  await startIssuer('1h')
  startWorker()
  await backedUp.worker.says('got a grant')
  await backedUp.backUp()
  expect(await disagreements(backedUp)).toEqual([])
  expect(backedUp.worker.log).not.toContain('grant_missing')
  expect(backedUp.worker.log.split('got a grant')).toHaveLength(2)
})

test('while the issuer is down the last grant is used, which is said, and the issuer is used when it is back', async () => {
  startWorker()
  const check = await checkBecomes(backedUp, 'issuer', 'warn')
  expect(check.message).toContain('no grant from the issuer')
  await backedUp.worker.says('"code":"issuer_unavailable"')
  await backedUp.backUp()
  await startIssuer('12h')
  await backedUp.worker.says('got a grant')
  await checkBecomes(backedUp, 'issuer', 'ok')
  expect(await disagreements(backedUp)).toEqual([])
})

test('a wrong token is said with what to do, and the last grant is used', async () => {
  await startIssuer('12h')
  startWorker(newToken().reveal())
  const check = await checkBecomes(backedUp, 'issuer', 'warn')
  expect(check.message).toContain('refused the token')
  expect(check.hint).toContain('--new-token')
  await backedUp.backUp()
  expect(await checkOf(backedUp, 'grant')).toMatchObject({ state: 'ok' })
})

test('a grant that ends is replaced by the issuer in the middle of what is posted', async () => {
  await backedUp.postgres.query('delete from backup._grant')
  await startIssuer('2s')
  startWorker()
  await backedUp.worker.says('got a grant')
  for (const again of [1, 2]) {
    const before = backedUp.worker.log.split('got a grant').length
    await until(`grant ${again} has ended`, async () => {
      const [row] = await backedUp.postgres.query<{ ended: boolean }>(
        'select max(expires_at) < clock_timestamp() as ended from backup.grants',
      )
      return row!.ended
    })
    await writeSegments(backedUp, 2)
    expect(await disagreements(backedUp)).toEqual([])
    expect(backedUp.worker.log.split('got a grant').length).toBeGreaterThan(before)
    await backedUp.backUp()
  }
  expect(backedUp.worker.log).not.toContain('"code":"grant_expired"')
})

test('an issuer that is away when the grant ends is asked again, and nothing is lost', async () => {
  await backedUp.postgres.query('delete from backup._grant')
  await startIssuer('2s')
  startWorker()
  await backedUp.worker.says('got a grant')
  await stopIssuer()
  await until('the grant has ended', async () => (await checkOf(backedUp, 'grant')).state === 'crit')
  await writeSegments(backedUp, 2)
  await backedUp.worker.says('WAL waits in the slot')
  const job = await backedUp.ended(await backedUp.startBase())
  expect(job).toMatchObject({ state: 'failed', error_code: 'grant_expired' })
  expect(job.error_hint).toContain('No newer grant could be had: no grant from the issuer')
  await startIssuer('1h')
  expect(await disagreements(backedUp)).toEqual([])
  await backedUp.backUp()
})
