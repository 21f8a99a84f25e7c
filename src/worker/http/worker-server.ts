import type { FastifyInstance } from 'fastify'
import type { ListenAddress } from '../../observe/listen-address.js'
import { openObserveServer } from '../../observe/observe-server.js'
import type { Secret } from '../../secret.js'
import type { WorkerState } from '../worker-state.js'
import { PageAccess } from './page-access.js'
import { pageRoutes } from './page-routes.js'
import { PageSource } from './page-source.js'
import { workerReadings } from './worker-readings.js'

/**
 * What the worker serves over HTTP; the caller closes. Throws `config_invalid` when it cannot listen there.
 *
 * @param pageToken opens the page; null: it opens on an address of this machine alone
 */
export function openWorkerServer(
  listen: ListenAddress,
  pageToken: Secret | null,
  state: WorkerState,
): Promise<FastifyInstance> {
  return openObserveServer({
    listen,
    readings: workerReadings(state),
    health: () => state.health(),
    readiness: () => state.readiness(),
    routes: [pageRoutes(new PageAccess(listen, pageToken), new PageSource(state))],
  })
}
