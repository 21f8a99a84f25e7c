import type { FastifyInstance } from 'fastify'
import { PostboxError } from '../errors.js'
import type { ListenAddress } from './listen-address.js'
import { metricsText } from './metrics-text.js'
import type { Reading } from './reading.js'

export interface Health {
  ok: boolean
  /** what is not as it should be */
  problems: string[]
}

export interface ObserveOptions {
  listen: ListenAddress
  readings: readonly Reading[]
  /** the process is alive and does its rounds; who says no should be started again */
  health: () => Health
  /** it can do its work now */
  readiness: () => Health | Promise<Health>
  /** more of what it shows */
  routes?: ((app: FastifyInstance) => void)[]
}

/**
 * Serves `/metrics`, `/healthz` and `/readyz`, which show nothing secret and change nothing. The caller closes.
 *
 * Throws `config_invalid` when it cannot listen there. What it needs is loaded now, for those who want none of it.
 */
export async function openObserveServer(options: ObserveOptions): Promise<FastifyInstance> {
  const { fastify } = await import('fastify')
  const metrics = await metricsText(options.readings)
  const app = fastify({
    logger: false,
    bodyLimit: 1024,
    requestTimeout: 10_000,
    connectionTimeout: 30_000,
    forceCloseConnections: true,
  })
  app.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()))
  app.get('/healthz', (_request, reply) => answer(reply, options.health()))
  app.get('/readyz', async (_request, reply) => answer(reply, await options.readiness()))
  for (const add of options.routes ?? []) add(app)
  const { host, port } = options.listen
  try {
    await app.listen({ host, port })
    return app
  } catch (cause) {
    await app.close()
    throw new PostboxError(
      'config_invalid',
      `cannot listen on ${host}:${port}: ${(cause as Error).message}`,
      'Choose a free address of this machine.',
      { cause },
    )
  }
}

function answer(reply: { code: (status: number) => { send: (body: Health) => unknown } }, health: Health): unknown {
  return reply.code(health.ok ? 200 : 503).send(health)
}
