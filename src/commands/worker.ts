import { Command } from 'commander'
import { environmentWithThreads, workerConfig } from '../config.js'
import { createLog } from '../log.js'
import { runWorker } from '../worker/worker.js'
import { readCertificates } from './certificates.js'
import { interruptSignal } from './interrupt.js'

const help = `
Example:
  $ POSTBOX_DATABASE_URL=postgresql://postbox@localhost/postgres postbox worker

It runs until it is stopped (SIGTERM or SIGINT) and logs JSON lines to standard error. One worker serves a catalog; a
second one waits until the first has ended. It needs no S3 key: grants come from POSTBOX_ISSUER_URL or from
select backup.install_grant(…).`

/** `postbox worker`: runs jobs and keeps WAL flowing until it is stopped. */
export function workerCommand(): Command {
  return new Command('worker').addHelpText('after', help).action(async () => {
    const config = workerConfig()
    growThreadPool(config.threads)
    const { databaseUrls, sourceUrls, issuer, threads, socket } = config
    const log = createLog(config.logLevel)
    const ca = readCertificates(config.boxCaFile)
    await runWorker({ databaseUrls, sourceUrls, issuer, ca, threads, socket, log }, interruptSignal())
    log.info('the worker has ended')
  })
}

/**
 * Node sizes its thread pool (four) once, before any of our code runs, so more threads need a new start: the same
 * process, replaced.
 */
function growThreadPool(threads: number): void {
  const env = environmentWithThreads(threads)
  if (env === null || process.execve === undefined) return
  process.execve(process.execPath, [process.execPath, ...process.execArgv, ...process.argv.slice(1)], env)
}
