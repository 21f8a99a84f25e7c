import { Command } from 'commander'
import { workerConfig } from '../config.js'
import { createLog } from '../log.js'
import { WorkerState } from '../worker/worker-state.js'
import { runWorker } from '../worker/worker.js'
import { isLoopback, type ListenAddress } from '../observe/listen-address.js'
import type { Secret } from '../secret.js'
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
    const { databaseUrls, sourceUrls, issuer, threads, socket, listen, pageToken } = config
    const log = createLog(config.logLevel)
    const ca = readCertificates(config.boxCaFile)
    const state = new WorkerState()
    const server = listen && (await openServer(listen, pageToken, state))
    if (server) {
      const page = pageToken ? 'with its token' : isLoopback(listen) ? 'on this machine' : 'closed: it has no token'
      log.info({ listen: server.server.address(), page }, 'serving metrics and the page')
    }
    try {
      await runWorker({ databaseUrls, sourceUrls, issuer, ca, threads, socket, log, state }, interruptSignal())
    } finally {
      await server?.close()
    }
    log.info('the worker has ended')
  })
}

/** Loaded only where it is wanted: a worker without it needs less memory. */
async function openServer(listen: ListenAddress, pageToken: Secret | null, state: WorkerState) {
  const { openWorkerServer } = await import('../worker/http/worker-server.js')
  return openWorkerServer(listen, pageToken, state)
}
