import { once } from 'node:events'
import { chmod, lstat, mkdir, open, rename, rm } from 'node:fs/promises'
import net, { type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { PostboxError } from '../errors.js'

const OTHERS_MAY_WRITE = 0o022

/**
 * Where worker and archive-wal meet unless POSTBOX_SOCKET says otherwise: a directory of the user's own, and a name for
 * each server, so that two on one machine do not meet each other's worker.
 */
export function usualSocket(systemIdentifier: string): string {
  return `/tmp/postbox-${process.getuid!()}/${systemIdentifier}.sock`
}

/** System identifier of the server in whose pg_wal the file lies; null when that cannot be told. */
export async function systemIdentifierOf(walFile: string): Promise<string | null> {
  try {
    const file = await open(join(dirname(walFile), '../global/pg_control'))
    try {
      // The first field of ControlFileData (src/include/catalog/pg_control.h).
      const { buffer, bytesRead } = await file.read(Buffer.alloc(8), 0, 8, 0)
      return bytesRead === 8 ? buffer.readBigUInt64LE(0).toString() : null
    } finally {
      await file.close()
    }
  } catch {
    return null
  }
}

/** Throws `config_invalid` unless socket and directory are ours: anybody else could say "stored" and store nothing. */
export async function checkPrivate(path: string): Promise<void> {
  for (const each of [dirname(path), path]) {
    const { uid, mode } = await lstat(each)
    const ours = uid === process.getuid!() || uid === 0
    if (!ours || (mode & OTHERS_MAY_WRITE) !== 0) {
      throw refused(each, 'it belongs to another user, or others may write in it')
    }
  }
}

export interface PrivateSocket {
  /** Rejects when it can no longer take connections; never resolves. */
  failed: Promise<never>
  close(): Promise<void>
}

/**
 * Listens at `path`, for our own user alone, in place of whatever a dead process left there.
 *
 * It gets its name only when it listens and has its rights. Throws `config_invalid`.
 */
export async function listenPrivately(path: string, onConnection: (socket: Socket) => void): Promise<PrivateSocket> {
  const connections = new Set<Socket>()
  const server = net.createServer((socket) => {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
    onConnection(socket)
  })
  // Node removes the name that it listened on, even if by then it is another's: so it knows this one only.
  const birthName = `${path}.${process.pid}`
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await rm(birthName, { force: true })
    server.listen(birthName)
    await once(server, 'listening')
    await chmod(birthName, 0o600)
    await checkPrivate(birthName)
    await rename(birthName, path)
  } catch (thrown) {
    server.close()
    throw thrown instanceof PostboxError ? thrown : refused(path, (thrown as Error).message, thrown)
  }
  const { ino } = await lstat(path)
  const failed = once(server, 'error').then(([error]) => {
    throw refused(path, (error as Error).message, error)
  })
  failed.catch(() => undefined)
  return {
    failed,
    close: async () => {
      for (const socket of connections) socket.destroy()
      server.close()
      const now = await lstat(path).catch(() => null)
      if (now?.ino === ino) await rm(path, { force: true })
    },
  }
}

function refused(path: string, problem: string, cause?: unknown): PostboxError {
  return new PostboxError(
    'config_invalid',
    `the socket cannot be used: ${path}: ${problem}`,
    "Set POSTBOX_SOCKET, for worker and archive-wal alike, to a path in a directory of their user's own.",
    { cause },
  )
}
