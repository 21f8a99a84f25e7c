import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Grant } from '../../src/box/grant.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { freePort } from '../sandbox/ports.js'
import { checkBecomes, writeSegments } from './observe.js'
import { showLogOfFailures } from './show-log.js'

const PASSWORD = 'correct-horse-battery'
const TOKEN = 'pbx-this-token-is-sent-and-never-logged'
const HBA = `host all locked 127.0.0.1/32 scram-sha-256
host replication locked 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust`

let backedUp: BackedUpServer

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'], hba: HBA })
  await backedUp.postgres.query(`create role locked login replication in role backup_worker password '${PASSWORD}'`)
  await backedUp.worker.stop()
  backedUp.startWorker({
    POSTBOX_DATABASE_URL: backedUp.postgres.url({ user: 'locked', password: PASSWORD }),
    POSTBOX_ISSUER_URL: `http://127.0.0.1:${await freePort()}`,
    POSTBOX_ISSUER_TOKEN: TOKEN,
  })
  await backedUp.worker.says('streaming WAL')
})

afterAll(async () => {
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

/** What nobody may read who reads a log or a view. */
async function secrets(): Promise<Record<string, string>> {
  const { s3, postgres } = backedUp
  const [row] = await postgres.query<{ grant: Grant }>('select backup._grant() as grant')
  const { policy, 'x-amz-signature': signature, 'x-amz-credential': credential } = row!.grant.fields
  return {
    policy: policy!,
    signature: signature!,
    credential: credential!,
    'access key': s3.accessKey,
    'secret key': s3.secretKey,
    password: PASSWORD,
    token: TOKEN,
  }
}

async function foundIn(text: string): Promise<string[]> {
  return Object.entries(await secrets()).flatMap(([name, value]) => (text.includes(value) ? [name] : []))
}

/** S3 repeats what was signed, and by whom, when it refuses. */
async function refusalThatTells(): Promise<string> {
  const { policy, signature, credential, 'access key': accessKey } = await secrets()
  return (
    `<Error><Code>SignatureDoesNotMatch</Code><Message>${policy} of ${credential} does not match</Message>` +
    `<AWSAccessKeyId>${accessKey}</AWSAccessKeyId><StringToSign>${policy}</StringToSign>` +
    `<SignatureProvided>${signature}</SignatureProvided></Error>`
  )
}

test('the worker has no S3 key in its environment or on its command line', async () => {
  const { pid } = backedUp.worker
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8')
  expect(environment).not.toMatch(/AWS_|POSTBOX_(BUCKET|S3)/)
  expect(environment).not.toContain(backedUp.s3.accessKey)
  expect(environment).not.toContain(backedUp.s3.secretKey)
  expect(await foundIn(await readFile(`/proc/${pid}/cmdline`, 'utf8'))).toEqual([])
})

test('no log and no view tells a secret, whatever fails', async () => {
  const { postgres, s3, worker } = backedUp
  await backedUp.backUp()
  await checkBecomes(backedUp, 'issuer', 'warn')
  const body = await refusalThatTells()
  const undo = s3.fail({ times: Infinity, fault: { kind: 'status', status: 403, body } })
  await writeSegments(backedUp, 1)
  expect(await backedUp.ended(await backedUp.startBase())).toMatchObject({ state: 'failed', error_code: 'box_refused' })
  await worker.says('WAL waits in the slot')
  undo()
  const unknown = s3.fail({
    times: Infinity,
    fault: { kind: 'status', status: 400, body: body.replace('SignatureDoesNotMatch', 'Odd') },
  })
  expect(await backedUp.ended(await backedUp.startBase())).toMatchObject({ state: 'failed', error_code: 'box_refused' })
  const said = await postgres.query(
    `select to_jsonb(x)::text as row from backup.jobs x union all select to_jsonb(x)::text from backup.checks x
     union all select to_jsonb(x)::text from backup.status x union all select to_jsonb(x)::text from backup.grants x
     union all select to_jsonb(x)::text from backup.settings x`,
  )
  expect(await foundIn(JSON.stringify(said))).toEqual([])
  unknown()
  await postgres.stop('immediate')
  await worker.says('the worker begins again')
  await postgres.start()
  await backedUp.backUp()
  await worker.stop()
  expect(worker.log).toContain('"level":"debug"')
  expect(await foundIn(worker.log)).toEqual([])
})
