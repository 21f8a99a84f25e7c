import { request } from 'undici'
import { createHash } from 'node:crypto'
import type { Grant } from '../../src/box/grant.js'

export type Attempt = Record<'attempt' | 'answer', string>

/**
 * Tries with a stolen grant, the worst that lies on the database server, what would harm: read, list, delete, write
 * elsewhere, and write over a stored object.
 */
export async function tryToHarm(grant: Grant, storedKey: string): Promise<Attempt[]> {
  const object = `${grant.url}/${storedKey}`
  const query = new URLSearchParams(grant.fields).toString()
  return [
    { attempt: 'GET a stored part', answer: await status(object, 'GET') },
    { attempt: 'GET it with the signed fields as a query', answer: await status(`${object}?${query}`, 'GET') },
    { attempt: 'list the bucket', answer: await status(`${grant.url}?list-type=2`, 'GET') },
    { attempt: 'DELETE a stored part', answer: await status(object, 'DELETE') },
    { attempt: 'PUT over a stored part', answer: await status(object, 'PUT') },
    { attempt: "post into another server's folder", answer: await post(grant, 'db2/base/manifest-000000000000.json') },
    { attempt: 'post over a stored part (its first version stays)', answer: await post(grant, storedKey) },
  ]
}

async function status(url: string, method: 'GET' | 'PUT' | 'DELETE'): Promise<string> {
  const response = await request(url, { method, ...(method === 'PUT' ? { body: 'garbage' } : {}) })
  return describe(response.statusCode, await response.body.text())
}

async function post(grant: Grant, key: string): Promise<string> {
  const garbage = Buffer.from('garbage')
  const form = new FormData()
  const checksum = createHash('sha256').update(garbage).digest('base64')
  const fields = { ...grant.fields, key, 'content-type': 'text/plain', 'x-amz-checksum-sha256': checksum }
  for (const [name, value] of Object.entries(fields)) form.append(name, value)
  form.append('file', new Blob([garbage]), 'file')
  const response = await fetch(grant.url, { method: 'POST', body: form })
  return describe(response.status, await response.text())
}

function describe(code: number, body: string): string {
  const reason = /<Code>([^<]+)<\/Code>/.exec(body)?.[1]
  if (code >= 300) return `refused: ${code} ${reason ?? ''}`.trimEnd()
  return `${code} stored as a newer version`
}
