import { createHash } from 'node:crypto'
import type { PostboxError } from '../errors.js'
import type { Answer, Posted } from './answer.js'
import { postForm } from './post-form.js'
import { refusal } from './refusal.js'
import { elementText } from './xml.js'

/**
 * Whether the box refuses whatever is posted under this grant: asked after a connection broke in the middle of a part,
 * because the box may have refused it and closed before the answer could be read.
 *
 * Posts a form without a byte, which a policy with a least length of 1 never lets through: EntityTooSmall says that the
 * grant is good. Resolves to the refusal, or null when the grant is good or nothing could be learned.
 */
export async function refusedAll(
  ask: (form: { contentType: string; body: Buffer }) => Promise<Answer>,
  { part, grant, now }: Posted,
): Promise<PostboxError | null> {
  // A name of its own, should a service store it all the same: no part must ever have an empty version.
  const key = `${grant.key_prefix}probe`
  const sha256 = createHash('sha256').digest()
  const form = postForm(grant, { key, bytes: 0, sha256, contentType: 'application/octet-stream' })
  try {
    const answer = await ask({ contentType: form.contentType, body: Buffer.concat([form.prefix, form.suffix]) })
    if (answer.status < 400 || elementText(answer.body, 'Code') === 'EntityTooSmall') return null
    const error = refusal(answer, { part, grant, now })
    // An answer that is only unknown may come from the emptiness itself.
    return error.code === 'box_refused' && answer.status === 400 ? null : error
  } catch {
    return null
  }
}
