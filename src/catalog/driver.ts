import pg from 'pg'
import { BackendTerminatedError, createDriverFactory, type DriverCommand } from 'slonik'
import { PostboxError } from '../errors.js'
import type { Secret } from '../secret.js'
import { endClient } from './end-client.js'

/**
 * How every session of the catalog connects; pg reads the address, so that it means the same as for replication.
 */
export function sessionConfig(databaseUrl: Secret, applicationName: string): pg.ClientConfig {
  return {
    connectionString: databaseUrl.reveal(),
    application_name: applicationName,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: 15_000,
  }
}

/** Nothing that the catalog is asked takes this long; what does waits for a lock that somebody left. */
const STATEMENT_TIMEOUT_MS = 60_000
/** A server that hangs does not even say that the time is over. */
const QUERY_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 5000

/**
 * pg under slonik's pool. slonik's own driver knows fewer addresses (no sslmode=verify-full) and drops the hints of
 * some errors.
 */
export function catalogDriver(databaseUrl: Secret): ReturnType<typeof createDriverFactory> {
  return createDriverFactory(async () => ({
    createPoolClient: async ({ clientEventEmitter }) => {
      const client = new pg.Client({
        ...sessionConfig(databaseUrl, 'postbox catalog'),
        statement_timeout: STATEMENT_TIMEOUT_MS,
        query_timeout: QUERY_TIMEOUT_MS,
      })
      // Stays until the end: without a listener a lost connection would end the process.
      client.on('error', (error) => {
        clientEventEmitter.emit('error', new BackendTerminatedError(error))
      })
      return {
        connect: async () => {
          await client.connect()
          // What COMMITs wait for may be the worker itself: its own must not wait for that.
          await client.query('set synchronous_commit = local')
        },
        end: () => endClient(client),
        query: async (text, values) => {
          const { command, fields, rowCount, rows } = await client.query<Record<string, unknown>>(text, values)
          return {
            command: command as DriverCommand,
            fields: fields.map(({ dataTypeID, name }) => ({ dataTypeId: dataTypeID, name })),
            rowCount,
            rows,
          }
        },
        stream: () => {
          throw new PostboxError('internal', 'the catalog streams no rows', 'Ask for the rows at once.')
        },
      }
    },
  }))
}
