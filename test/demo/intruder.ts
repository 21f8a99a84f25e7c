import { request } from 'undici'
import { createHash } from 'node:crypto'
import type { Grant } from '../../src/box/grant.js'

export type Attempt = Record<'attempt' | 'answer', string>

/**
 * Tries with a stolen grant, the worst that lies on the database server, what would harm: read, list, delete, write
 * elsewhere, bend the grant, change the bucket, and write over a stored object.
 */
export async function tryToHarm(grant: Grant, storedKey: string): Promise<Attempt[]> {
  const object = `${grant.url}/${storedKey}`
  const query = new URLSearchParams(grant.fields).toString()
  return [
    { attempt: 'GET a stored part', answer: await status(object, 'GET') },
    { attempt: 'GET it with the signed fields as a query', answer: await status(`${object}?${query}`, 'GET') },
    { attempt: 'list the bucket', answer: await status(`${grant.url}?list-type=2`, 'GET') },
    { attempt: 'list its versions', answer: await status(`${grant.url}?versions`, 'GET') },
    { attempt: 'DELETE a stored part', answer: await status(object, 'DELETE') },
    { attempt: 'PUT over a stored part', answer: await status(object, 'PUT') },
    { attempt: 'stop the keeping of versions', answer: await status(`${grant.url}?versioning`, 'PUT') },
    { attempt: 'let all objects expire', answer: await status(`${grant.url}?lifecycle`, 'PUT') },
    {
      attempt: "post into another server's folder",
      answer: await postAs(grant, 'db2/base/manifest-000000000000.json'),
    },
    { attempt: 'post a result of a drill', answer: await postAs(grant, '.postbox/drill/db1/forged.json') },
    {
      attempt: 'post more than the grant allows',
      answer: await postAs(grant, `${storedKey}.large`, Buffer.alloc(grant.max_part_bytes + 1)),
    },
    {
      attempt: 'post with a policy that says another folder',
      answer: await postAs(bent(grant, `"${grant.key_prefix}"`, '"db2/"'), 'db2/garbage'),
    },
    {
      attempt: 'post with a policy that ends later',
      answer: await postAs(bent(grant, /"expiration":"[^"]*"/, '"expiration":"2099-01-01T00:00:00Z"'), storedKey),
    },
    { attempt: 'post over a stored part (its first version stays)', answer: await postAs(grant, storedKey) },
  ]
}

/** The grant with another text in its policy, and the signature that it had. */
function bent(grant: Grant, what: string | RegExp, by: string): Grant {
  const policy = Buffer.from(grant.fields['policy']!, 'base64').toString('utf8').replace(what, by)
  return { ...grant, fields: { ...grant.fields, policy: Buffer.from(policy).toString('base64') } }
}

async function status(url: string, method: 'GET' | 'PUT' | 'DELETE'): Promise<string> {
  const response = await request(url, { method, ...(method === 'PUT' ? { body: 'garbage' } : {}) })
  return describe(response.statusCode, await response.body.text())
}

/** Posts these bytes with a grant, whatever they are. */
export async function postAs(grant: Grant, key: string, bytes = Buffer.from('garbage')): Promise<string> {
  const form = new FormData()
  const checksum = createHash('sha256').update(bytes).digest('base64')
  const fields = { ...grant.fields, key, 'content-type': 'text/plain', 'x-amz-checksum-sha256': checksum }
  for (const [name, value] of Object.entries(fields)) form.append(name, value)
  form.append('file', new Blob([new Uint8Array(bytes)]), 'file')
  const response = await answered(() => fetch(grant.url, { method: 'POST', body: form }))
  return describe(response.status, await response.text())
}

/** A server that hangs up on what it refuses may be gone before its answer is read. */
async function answered(ask: () => Promise<Response>): Promise<Response> {
  for (let left = 5; ; left--) {
    try {
      return await ask()
    } catch (thrown) {
      if (left === 0) throw thrown
    }
  }
}

function describe(code: number, body: string): string {
  const reason = /<Code>([^<]+)<\/Code>/.exec(body)?.[1]
  if (code >= 300) return `refused: ${code} ${reason ?? ''}`.trimEnd()
  return `${code} stored as a newer version`
}
