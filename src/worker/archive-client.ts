import { once } from 'node:events'
import net from 'node:net'
import { PostboxError, type ErrorCode } from '../errors.js'
import { LONG_HEADER_BYTES } from '../wal/page.js'
import { ArchiveChannel, type Reply } from './archive-channel.js'
import { checkPrivate } from './private-socket.js'

/** A WAL file as archive-wal read it. */
export interface WalFile {
  name: string
  content: Buffer
  sha256: Buffer
}

/** The worker says something every 5 s, so one that says nothing for so long is stopped or gone. */
const SILENCE_MS = 30_000

/**
 * Gives a file to the worker that listens at `path`; resolves when it is stored and recorded.
 *
 * Throws what the worker says, or `worker_unreachable` when none answers to the end: then nobody knows whether the file
 * was stored, and it may be offered again.
 */
export async function offerToWorker(path: string, file: WalFile, silenceMs = SILENCE_MS): Promise<void> {
  const socket = await connect(path)
  try {
    const channel = new ArchiveChannel(socket, silenceMs)
    const { name, content, sha256 } = file
    const head = content.toString('base64', 0, LONG_HEADER_BYTES)
    channel.send({ file: name, bytes: content.length, sha256: sha256.toString('hex'), head })
    for (;;) {
      const reply = (await channel.readLine()) as Reply | null
      switch (reply?.state) {
        case 'waiting':
          continue
        case 'send':
          socket.write(content)
          continue
        case 'stored':
        case 'known':
          return
        case 'failed':
          throw new PostboxError(reply.code as ErrorCode, reply.message, reply.hint)
        default:
          throw unreachable(path, 'it ended the connection or says nothing')
      }
    }
  } finally {
    socket.destroy()
  }
}

async function connect(path: string): Promise<net.Socket> {
  try {
    await checkPrivate(path)
    const socket = net.connect(path)
    await once(socket, 'connect')
    return socket
  } catch (thrown) {
    throw unreachable(path, (thrown as Error).message, thrown)
  }
}

function unreachable(path: string, problem: string, cause?: unknown): PostboxError {
  return new PostboxError(
    'worker_unreachable',
    `no worker answers at ${path}: ${problem}`,
    'Start "postbox worker" as the user that runs Postgres, or set POSTBOX_DATABASE_URL for archive-wal.',
    { cause },
  )
}
