import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { pageText, pagePolicy } from '../page/page-body.js'
import type { PageAccess } from './page-access.js'
import { PageLive } from './page-live.js'
import type { PageSource } from './page-source.js'

const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': pagePolicy,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
} as const

/** The page at `/` and what is new on it at `/events`; both can only be read. */
export function pageRoutes(access: PageAccess, source: PageSource): (app: FastifyInstance) => void {
  return (app) => {
    const live = new PageLive(source)
    app.addHook('preClose', (done) => {
      live.close()
      done()
    })

    const mayLook = (request: FastifyRequest, reply: FastifyReply): boolean => {
      void reply.headers(HEADERS)
      const { token } = request.query as { token?: unknown }
      const refusal = access.refusal({ headers: request.headers, token: typeof token === 'string' ? token : undefined })
      if (!refusal) return true
      if (refusal.status === 401) void reply.header('www-authenticate', 'Bearer realm="postbox"')
      void reply.code(refusal.status).type('text/plain; charset=utf-8').send(refusal.text)
      return false
    }

    app.get('/', async (request, reply) => {
      if (!mayLook(request, reply)) return reply
      const cookie = access.setCookie()
      // The token leaves the address, so that it stays in no history and no screenshot.
      if (cookie !== null && 'token' in (request.query as object)) {
        return reply.header('set-cookie', cookie).code(303).header('location', '/').send()
      }
      const text = pageText(await source.read())
      return reply.type('text/html; charset=utf-8').send(text)
    })

    app.get('/events', { exposeHeadRoute: false }, (request, reply) => {
      if (!mayLook(request, reply)) return
      const site = request.headers['sec-fetch-site']
      // Another page cannot read it, and shall not take the room of those who look.
      if (site !== undefined && site !== 'same-origin' && site !== 'none') {
        void reply.code(403).type('text/plain; charset=utf-8').send('only the page itself listens here\n')
        return
      }
      if (!live.hasRoom) {
        void reply.code(503).type('text/plain; charset=utf-8').send('too many look at the page already\n')
        return
      }
      reply.hijack()
      reply.raw.writeHead(200, { ...HEADERS, 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' })
      live.add(reply.raw)
    })

    app.route({
      method: ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
      url: '/',
      onRequest: (_request, reply) => refuseMethod(reply),
      handler: (_request, reply) => refuseMethod(reply),
    })
  }
}

async function refuseMethod(reply: FastifyReply): Promise<unknown> {
  return reply
    .headers({ ...HEADERS, allow: 'GET, HEAD' })
    .code(405)
    .type('text/plain; charset=utf-8')
    .send('this page can only be read\n')
}
