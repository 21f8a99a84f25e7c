import type { FastifyInstance } from 'fastify'
import type { ListenAddress } from '../../observe/listen-address.js'
import { openObserveServer } from '../../observe/observe-server.js'
import type { WorkerState } from '../worker-state.js'
import { workerReadings } from './worker-readings.js'

/** What the worker serves over HTTP; the caller closes. Throws `config_invalid` when it cannot listen there. */
export function openWorkerServer(listen: ListenAddress, state: WorkerState): Promise<FastifyInstance> {
  return openObserveServer({
    listen,
    readings: workerReadings(state),
    health: () => state.health(),
    readiness: () => state.readiness(),
    // Another page is another function here.
    routes: [],
  })
}
