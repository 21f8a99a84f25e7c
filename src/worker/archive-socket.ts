import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { basename } from 'node:path'
import type { Logger } from 'pino'
import { asPostboxError, PostboxError } from '../errors.js'
import { ArchiveChannel } from './archive-channel.js'
import { readOffer, type NamedFile, type SentFile } from './archive-offer.js'
import { Backoff } from './backoff.js'
import { LocalWalFile } from './local-wal-file.js'
import { listenPrivately, usualSocket } from './private-socket.js'
import { WalFileStore, type ArchiveOutcome, type OfferedFile, type WalFileStoreOptions } from './wal-file-store.js'

export interface ArchiveSocketOptions extends Omit<WalFileStoreOptions, 'identity'> {
  /** null for the usual place */
  path: string | null
  log: Logger
  /** how often we say that we live, and how long the other side may be silent while it is waited for */
  pace?: { waitingEveryMs: number; silenceMs: number }
}

type Answer = ArchiveOutcome | 'unreadable'

/** archive-wal takes us for gone after 30 s, and itself sends without a pause. */
const PACE = { waitingEveryMs: 5000, silenceMs: 60_000 }

/** Takes WAL from `postbox archive-wal`, one file at a time, and says when it is stored and recorded. */
export class ArchiveSocket {
  #turn: Promise<unknown> = Promise.resolve()
  /** one segment; kept, so that a busy archiver does not leave a trail of garbage */
  #buffer = Buffer.alloc(0)

  constructor(readonly options: ArchiveSocketOptions) {}

  /** Runs until `signal` is aborted. WAL is streamed all the same where there can be no socket, so that is no failure. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(1000, 60_000)
    while (!signal.aborted) {
      try {
        await this.#serve(signal)
      } catch (thrown) {
        if (signal.aborted) return
        const error = asPostboxError(thrown)
        this.options.log.warn({ code: error.code, hint: error.hint }, `archive-wal is not served: ${error.message}`)
        await backoff.wait(signal)
      }
    }
  }

  async #serve(signal: AbortSignal): Promise<void> {
    const { catalog, log, path } = this.options
    const identity = await catalog.walIdentity()
    const store = new WalFileStore({ ...this.options, identity })
    const at = path ?? usualSocket(identity.system_identifier)
    const socket = await listenPrivately(at, (connection) => void this.#answer(connection, store, signal))
    try {
      log.info({ socket: at }, 'archive-wal is served')
      const ended = Promise.withResolvers<undefined>()
      const end = () => {
        ended.resolve(undefined)
      }
      signal.addEventListener('abort', end, { once: true })
      if (signal.aborted) end()
      await Promise.race([ended.promise, socket.failed]).finally(() => {
        signal.removeEventListener('abort', end)
      })
    } finally {
      await socket.close()
    }
  }

  /** Never rejects. */
  async #answer(connection: Socket, store: WalFileStore, signal: AbortSignal): Promise<void> {
    const { log, pace = PACE } = this.options
    const channel = new ArchiveChannel(connection, pace.silenceMs)
    const waiting = setInterval(() => {
      channel.send({ state: 'waiting' })
    }, pace.waitingEveryMs)
    let name = ''
    try {
      const offer = readOffer(await channel.readLine())
      const named = 'path' in offer
      name = named ? basename(offer.path) : offer.file
      const outcome = await this.#inTurn(() =>
        named ? this.#storeNamed(offer, store, signal) : store.store(this.#sent(offer, channel), signal),
      )
      log.debug({ file: name, outcome, by: named ? 'name' : 'bytes' }, 'archive-wal is answered')
      channel.send({ state: outcome })
    } catch (thrown) {
      if (signal.aborted) return
      const { code, message, hint } = asPostboxError(thrown)
      log.warn({ code, hint, file: name }, `archive-wal failed: ${message}`)
      channel.send({ state: 'failed', code, message, hint })
    } finally {
      clearInterval(waiting)
      connection.end()
    }
  }

  /** So that no more than one segment is in memory, whoever asks. */
  #inTurn(work: () => Promise<Answer>): Promise<Answer> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => undefined)
    return result
  }

  async #storeNamed(offer: NamedFile, store: WalFileStore, signal: AbortSignal): Promise<Answer> {
    const file = await LocalWalFile.open(offer, (bytes) => this.#room(bytes))
    if (file === null) return 'unreadable'
    try {
      return await store.store(file, signal)
    } finally {
      await file.close()
    }
  }

  #sent({ file, bytes, sha256, head }: SentFile, channel: ArchiveChannel): OfferedFile {
    const read = async (): Promise<Buffer> => {
      channel.send({ state: 'send' })
      const content = this.#room(bytes)
      if (!(await channel.readBytes(content))) {
        const problem = `the connection ended before all bytes of ${file} had come`
        throw new PostboxError('worker_unreachable', problem, 'Postgres tries again.')
      }
      if (createHash('sha256').update(content).digest('hex') === sha256) return content
      const hint = 'Postgres alone may change its files.'
      throw new PostboxError('wal_invalid', `${file} changed while it was read`, hint)
    }
    return {
      name: file,
      bytes,
      head: Buffer.from(head, 'base64'),
      sha256: async () => Buffer.from(sha256, 'hex'),
      read,
    }
  }

  #room(bytes: number): Buffer {
    if (this.#buffer.length < bytes) this.#buffer = Buffer.allocUnsafeSlow(bytes)
    return this.#buffer.subarray(0, bytes)
  }
}
