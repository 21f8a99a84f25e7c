import { fastify, type FastifyInstance, type FastifyReply } from 'fastify'
import type { S3Client } from '@aws-sdk/client-s3'
import { asPostboxError, PostboxError } from '../errors.js'
import type { Logger } from '../log.js'
import { Secret } from '../secret.js'
import { openArchive } from './archive.js'
import { IssuerCounts } from './issuer-counts.js'
import { KnownNews } from './known-news.js'
import type { KnownServers } from './known-servers.js'
import { defaultMaxPartBytes, signGrant } from './sign.js'
import { ownerOf } from './token.js'

export interface IssuerOptions {
  s3: S3Client
  bucket: string
  servers: KnownServers
  log: Logger
  /** PEM texts; without them it speaks plain HTTP */
  tls?: { cert: string; key: string } | undefined
  counts?: IssuerCounts
}

/**
 * The HTTP service that signs grants.
 *
 * `POST /v1/grants` with `Authorization: Bearer <token>`: 200 `{ grant, known: { drill?, drills?, kept? } }`, 401 for a wrong
 * token, 503 while it cannot sign. `GET /health`: 200 `{ ok: true }` after it has signed a policy and thrown it away.
 *
 * Neither needs a body. The caller listens and closes.
 */
export function createIssuer(options: IssuerOptions): FastifyInstance {
  const { tls, log, counts = new IssuerCounts() } = options
  const archive = openArchive(options.s3, options.bucket, { patienceMs: 0 })
  const news = new KnownNews(archive, log)
  const app = fastify({
    https: tls ? { ...tls, minVersion: 'TLSv1.2' } : null,
    bodyLimit: 1024,
    requestTimeout: 10_000,
    connectionTimeout: 30_000,
    // Requests are logged here, by what is known to be safe; never by header or body.
    logger: false,
    // Close idle connections at the end instead of waiting for them.
    forceCloseConnections: 'idle',
  }) as FastifyInstance
  // Whatever body comes is read within the limit and dropped.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, _body, done) => {
    done(null)
  })

  app.get('/health', async () => {
    await proveSigning(options)
    return { ok: true }
  })
  app.post('/v1/grants', async (request, reply) => {
    const grant = await issue(options, counts, request.headers.authorization, request.ip)
    const known = await news.of(grant.server)
    if (known.drill) counts.sawDrill(grant.server, known.drill.finished_at)
    // For who watches the issuer; the server is not told, and does not wait.
    void counts.lookForPrune(archive, grant.server)
    return reply.header('cache-control', 'no-store').send({ grant, known })
  })

  app.setNotFoundHandler((_request, reply) => {
    sendError(reply, 404, new PostboxError('bad_argument', 'no such path', 'Grants are at POST /v1/grants.'))
  })
  app.setErrorHandler((thrown: Error & { statusCode?: number }, request, reply) => {
    const error = asPostboxError(thrown)
    // Fastify's own refusals (too large, too slow) are the caller's fault and carry their status.
    const status = error.code === 'internal' && (thrown.statusCode ?? 500) < 500 ? thrown.statusCode! : statusOf(error)
    // Which address was refused is in the log already, with why.
    if (status >= 500) log.error({ err: error, path: request.routeOptions.url, from: request.ip }, 'request failed')
    sendError(reply, status, error)
  })
  return app
}

async function issue(
  { s3, bucket, servers, log }: IssuerOptions,
  counts: IssuerCounts,
  authorization: string | undefined,
  from: string,
) {
  const token = bearer(authorization)
  const owner = token && ownerOf(token, await servers.current())
  if (!owner) {
    counts.refused[token ? 'unknown_token' : 'no_token'] += 1
    log.warn({ from }, token ? 'refused: the token belongs to no server' : 'refused: no token')
    throw new PostboxError(
      'issuer_refused',
      token ? 'the token belongs to no server' : 'no token was sent',
      'Make one with "postbox issuer --new-token NAME", put its hash into the keyholder file and the token beside the worker.',
    )
  }
  const { server } = owner
  const grant = await signGrant({
    s3,
    bucket,
    server,
    expiresInSeconds: owner.grantLifeSeconds,
    maxPartBytes: owner.maxPartBytes,
    warn: (message) => {
      log.warn({ server }, message)
    },
  }).catch((thrown: unknown) => {
    counts.refused.cannot_sign += 1
    throw thrown
  })
  counts.countSigned()
  log.info({ server, from, expires_at: grant.expires_at, max_part_bytes: grant.max_part_bytes }, 'grant signed')
  return grant
}

function bearer(authorization: string | undefined): Secret | null {
  const match = /^Bearer +([\x21-\x7e]+) *$/i.exec(authorization ?? '')
  return match && new Secret(match[1]!)
}

/** Signs a policy for nobody, and throws it away. */
export async function proveSigning({ s3, bucket }: Pick<IssuerOptions, 's3' | 'bucket'>): Promise<void> {
  await signGrant({ s3, bucket, server: 'health', expiresInSeconds: 60, maxPartBytes: defaultMaxPartBytes })
}

function statusOf(error: PostboxError): number {
  if (error.code === 'issuer_refused') return 401
  return error.code.startsWith('credentials_') ? 503 : 500
}

/** What the caller is told: of a defect on our side only that it is one, the rest is in our log. */
function sendError(reply: FastifyReply, status: number, error: PostboxError): void {
  if (status === 401) reply.header('www-authenticate', 'Bearer')
  if (status === 503) reply.header('retry-after', '60')
  const { code, hint } = error
  const message = status === 500 ? 'the issuer failed' : error.message
  void reply.code(status).send({ error: { code, message, hint } })
}
