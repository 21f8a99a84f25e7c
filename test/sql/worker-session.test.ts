import { createServer, connect, type AddressInfo, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { openWorkerSession, type AliveCheck, type WorkerSession } from '../../src/catalog/worker-session.js'
import type { PostboxError } from '../../src/errors.js'
import { Secret } from '../../src/secret.js'
import { until } from '../sandbox/until.js'
import { installedServer } from './installed-server.js'

describe('the worker session', () => {
  const catalog = installedServer()
  const opened: WorkerSession[] = []
  afterEach(async () => {
    for (const session of opened.splice(0)) await session.close()
  })

  /** A session and what it was told. */
  async function open(url?: string, check?: AliveCheck) {
    const heard: string[] = []
    const lost: PostboxError[] = []
    const address = url ?? (await catalog.server()).url({ user: 'walt' })
    const handlers = {
      onNotify: (payload: string) => heard.push(payload),
      onLost: (error: PostboxError) => lost.push(error),
    }
    const session = await openWorkerSession(new Secret(address), handlers, check)
    opened.push(session)
    return { session, heard, lost }
  }

  const alive = () => catalog.value('select worker_alive from backup.status')
  const ending = () => AbortSignal.timeout(30_000)

  test('hears what was queued, canceled, configured and granted', async () => {
    const { heard } = await open()
    const jobId = await catalog.value('select backup.start_base()')
    await catalog.rows('select backup.cancel($1)', [jobId])
    await catalog.rows(`select backup.configure('compression_level', '3')`)
    await until('all is heard', () => heard.length === 3)
    expect(heard).toEqual(['job', 'cancel', 'setting'])
  })

  test('is the worker while it holds the lock; a second one waits, says so once, and follows', async () => {
    const first = await open()
    await first.session.lock(ending())
    expect(await alive()).toBe(true)
    const second = await open()
    let waiting = 0
    let locked = false
    const following = second.session
      .lock(ending(), () => waiting++)
      .then(() => {
        locked = true
      })
    await until('the second waits', () => waiting === 1)
    expect(locked).toBe(false)
    await first.session.close()
    await following
    expect(await alive()).toBe(true)
    expect(waiting).toBe(1)
    expect(first.lost).toEqual([])
  })

  test('can be told to stop waiting', async () => {
    const first = await open()
    await first.session.lock(ending())
    const second = await open()
    const stopping = new AbortController()
    const reason = new Error('stop')
    const waiting = second.session.lock(stopping.signal, () => {
      stopping.abort(reason)
    })
    await expect(waiting).rejects.toBe(reason)
  })

  test('says once that it was ended, and by then another may be the worker', async () => {
    const first = await open()
    await first.session.lock(ending())
    await catalog.rows(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'postbox worker'`,
    )
    await until('the loss is said', () => first.lost.length > 0)
    const second = await open()
    await second.session.lock(ending())
    await first.session.close()
    expect(first.lost).toHaveLength(1)
    expect(first.lost[0]).toMatchObject({ code: 'database_unavailable', retryable: true })
  })

  /** A way to the server that a test can break. */
  async function proxied() {
    const server = await catalog.server()
    const sockets: Socket[] = []
    const proxy = createServer((incoming) => {
      const outgoing = connect(server.port, '127.0.0.1')
      for (const socket of [incoming, outgoing]) socket.on('error', () => undefined)
      incoming.pipe(outgoing).pipe(incoming)
      sockets.push(incoming, outgoing)
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    const url = new URL(server.url({ user: 'walt' }))
    url.port = String((proxy.address() as AddressInfo).port)
    return { url: url.href, sockets, proxy }
  }

  test('says once that the connection broke', async () => {
    const { url, sockets, proxy } = await proxied()
    const { session, lost } = await open(url)
    await session.lock(ending())
    for (const socket of sockets) socket.resetAndDestroy()
    await until('the loss is said', () => lost.length > 0)
    await expect(session.lock(ending())).rejects.toMatchObject({ code: 'database_unavailable' })
    await session.close()
    proxy.close()
    expect(lost).toHaveLength(1)
    expect(lost[0]).toMatchObject({ code: 'database_unavailable' })
  })

  test('counts as lost when the server does not answer any more, though the connection stands', async () => {
    const { url, sockets, proxy } = await proxied()
    const { session, lost } = await open(url, { everyMs: 50, answerWithinMs: 1000 })
    await session.lock(ending())
    for (const socket of sockets) socket.unpipe().pause()
    await until('the loss is said', () => lost.length > 0)
    // Says goodbye to nobody, and does not wait for an answer.
    await session.close()
    for (const socket of sockets) socket.destroy()
    proxy.close()
    expect(lost).toMatchObject([{ code: 'database_unavailable' }])
  })

  test('shows in its name what it is told to, while it lives', async () => {
    const names = `select array_agg(application_name) from pg_stat_activity where application_name like 'postbox worker%'`
    const { session } = await open()
    await session.show('1 0/3000060 1700000000.0 reads')
    expect(await catalog.value(names, [], 'nora')).toEqual(['postbox worker 1 0/3000060 1700000000.0 reads'])
    await session.show('')
    expect(await catalog.value(names)).toEqual(['postbox worker'])
  })

  test('that cannot be opened fails as the catalog does', async () => {
    const server = await catalog.server()
    await expect(open(server.url({ user: 'stranger' }))).rejects.toMatchObject({ code: 'database_refused' })
    const { session } = await open(server.url({ user: 'nora' }))
    await expect(session.lock(ending())).rejects.toMatchObject({ code: 'catalog_refused' })
  })
})
