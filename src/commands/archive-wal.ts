import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { Command } from 'commander'
import { hasDatabaseUrl, socketPath } from '../config.js'
import { PostboxError } from '../errors.js'
import { walFileKind } from '../wal/wal-file.js'
import { offerToWorker, type WalFile } from '../worker/archive-client.js'
import { systemIdentifierOf, usualSocket } from '../worker/private-socket.js'

const help = `
In postgresql.conf:
  archive_mode = on
  archive_command = 'postbox archive-wal %p'

It gives the file to the worker that runs as the same user. Where there is none it stores the file by itself, for which
it needs POSTBOX_DATABASE_URL. It ends with 0 only when the file is stored; otherwise Postgres keeps it and tries again. It
is recorded then, too, unless the worker streamed it and nobody but Postbox wrote in it: that row comes with the next one. A
file that was stored before is stored no second time, and other bytes under its name are refused.`

/**
 * `postbox archive-wal`: Postgres's archive_command, where archive-wal.pl could not answer it. Loads little, because
 * without Perl Postgres starts it for every segment.
 */
export function archiveWalCommand(): Command {
  return new Command('archive-wal')
    .argument('<path>', 'the file, %p')
    .addHelpText('after', help)
    .action((path: string) => archiveWal(path))
}

async function archiveWal(path: string): Promise<void> {
  const name = basename(path)
  const kind = walFileKind(name)
  // What it says of a base backup stands in the backup's own manifest, and no recovery asks for it.
  if (kind === 'backup') return
  if (kind === 'partial') {
    process.stderr.write(
      `postbox: ${name} needs no storing: the next timeline's first segment begins with the same WAL\n`,
    )
    return
  }
  const file = await readWalFile(path, name)
  const socket = socketPath() ?? (await usualSocketFor(path))
  const failure = socket === null ? null : await askWorker(socket, file)
  if (socket !== null && failure === null) return
  if (failure && !hasDatabaseUrl()) throw failure
  await archiveByItself(file)
}

async function readWalFile(path: string, name: string): Promise<WalFile> {
  try {
    const content = await readFile(path)
    return { name, content, sha256: createHash('sha256').update(content).digest() }
  } catch (cause) {
    const hint = 'The path is relative to the data directory, where Postgres runs its archive_command.'
    throw new PostboxError('bad_argument', `${path} cannot be read: ${(cause as Error).message}`, hint, { cause })
  }
}

async function usualSocketFor(path: string): Promise<string | null> {
  const systemIdentifier = await systemIdentifierOf(path)
  return systemIdentifier === null ? null : usualSocket(systemIdentifier)
}

/** Null when the worker has stored it; otherwise why no worker could be asked. Throws what the worker says. */
async function askWorker(socket: string, file: WalFile): Promise<PostboxError | null> {
  try {
    await offerToWorker(socket, file)
    return null
  } catch (thrown) {
    if (thrown instanceof PostboxError && thrown.code === 'worker_unreachable') return thrown
    throw thrown
  }
}

async function archiveByItself(file: WalFile): Promise<void> {
  const { archiveAlone } = await import('../worker/archive-alone.js')
  const { workerConfig } = await import('../config.js')
  const { createLog } = await import('../log.js')
  const { readCertificates } = await import('./certificates.js')
  const { databaseUrls, issuer, boxCaFile } = workerConfig()
  const { findPrimary } = await import('../catalog/find-primary.js')
  const log = createLog('error')
  const databaseUrl = await findPrimary(databaseUrls, (text) => {
    log.warn(text)
  })
  await archiveAlone({ databaseUrl, issuer, ca: readCertificates(boxCaFile), log }, file)
}
