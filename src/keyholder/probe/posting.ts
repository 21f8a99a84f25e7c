import { createHash } from 'node:crypto'
import type { S3Client } from '@aws-sdk/client-s3'
import { Agent, request } from 'undici'
import { postForm } from '../../box/post-form.js'
import { elementText } from '../../box/xml.js'
import { PostboxError } from '../../errors.js'
import { signPolicy } from '../sign-policy.js'

/** What is tried: a form that differs from a good one in what is given here. */
export interface Attempt {
  /** behind the probe's prefix, or a whole key when it begins with a slash */
  name: string
  content?: Buffer
  /** seconds that the policy was signed ago, and that it lasts from then on */
  signedAgo?: number
  lasts?: number
  /** SHA-256 that the form claims */
  claimed?: Buffer
  /** fields that are added or changed after signing */
  fields?: Record<string, string>
}

export interface Attempted {
  status: number
  /** S3's error code and message; empty for a success */
  said: string
}

/** The policy of every attempt takes no more. */
export const MAX_BYTES = 4096
const CONTENT = Buffer.from('Postbox was here to see what this bucket does.\n')

/** Posts small objects under a prefix of its own, as an intruder or a mistaken worker would. */
export class ProbePoster {
  readonly #agent: Agent

  constructor(
    readonly s3: S3Client,
    readonly bucket: string,
    /** ends in `/` */
    readonly prefix: string,
    ca: string | undefined,
  ) {
    this.#agent = new Agent({ pipelining: 1, connect: { timeout: 10_000, ...(ca === undefined ? {} : { ca }) } })
  }

  keyOf(name: string): string {
    return name.startsWith('/') ? name.slice(1) : this.prefix + name
  }

  /** Throws `archive_unavailable` when there is no answer at all. */
  async post({
    name,
    content = CONTENT,
    signedAgo = 0,
    lasts = 3600,
    claimed,
    fields = {},
  }: Attempt): Promise<Attempted> {
    const now = new Date(Date.now() + this.s3.config.systemClockOffset - signedAgo * 1000)
    const terms = { bucket: this.bucket, keyPrefix: this.prefix, expiresInSeconds: lasts, maxBytes: MAX_BYTES, now }
    const { url, fields: signed } = await signPolicy(this.s3, terms)
    const sha256 = claimed ?? createHash('sha256').update(content).digest()
    const form = postForm(
      { fields: { ...signed, ...fields } },
      { key: this.keyOf(name), bytes: content.length, sha256, contentType: 'text/plain' },
    )
    try {
      const answer = await request(url, {
        method: 'POST',
        dispatcher: this.#agent,
        headers: { 'content-type': form.contentType, 'user-agent': 'postbox' },
        body: Buffer.concat([form.prefix, content, form.suffix]),
      })
      const body = await answer.body.text()
      const code = elementText(body, 'Code')
      const said = code === null ? '' : [code, elementText(body, 'Message') ?? ''].filter(Boolean).join(': ')
      return { status: answer.statusCode, said: said.slice(0, 200) }
    } catch (cause) {
      const hint = 'Check POSTBOX_S3_ENDPOINT, the network and the S3 service, then run the same again.'
      const message = `the box does not answer a POST: ${(cause as Error).message}`
      throw new PostboxError('archive_unavailable', message, hint, { cause })
    }
  }

  /** Asks for something without any key or signature; the status of the answer. */
  async anonymously(url: string): Promise<number> {
    const answer = await request(url, { dispatcher: this.#agent })
    await answer.body.dump()
    return answer.statusCode
  }

  /** The bucket's own URL. */
  async bucketUrl(): Promise<string> {
    const terms = { bucket: this.bucket, keyPrefix: this.prefix, expiresInSeconds: 60, maxBytes: 1, now: new Date() }
    return (await signPolicy(this.s3, terms)).url
  }

  close(): Promise<void> {
    return this.#agent.destroy()
  }
}
