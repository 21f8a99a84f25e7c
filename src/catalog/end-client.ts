import type { Socket } from 'node:net'
import type pg from 'pg'
import { PostboxError } from '../errors.js'

/** A server that lives answers sooner. */
const GOODBYE_MS = 2000

/** Ends a connection; hangs up when the server is gone, or hangs, and so never answers the goodbye. */
export async function endClient(client: pg.Client): Promise<void> {
  const stream = streamOf(client)
  const hangUp = setTimeout(() => stream.destroy(), GOODBYE_MS)
  await client.end().finally(() => {
    clearTimeout(hangUp)
  })
}

/** Hangs up when `signal` is aborted: what the server is asked then fails with `database_unavailable`. Call the result in the end. */
export function hangUpOnAbort(client: pg.Client, signal: AbortSignal): () => void {
  const hangUp = () => {
    const message = `${client.host}:${client.port} does not answer in time`
    const hint = 'See whether the server runs, and whether this machine may reach it.'
    streamOf(client).destroy(new PostboxError('database_unavailable', message, hint))
  }
  signal.addEventListener('abort', hangUp)
  if (signal.aborted) hangUp()
  return () => {
    signal.removeEventListener('abort', hangUp)
  }
}

/** Another one once the connection is encrypted. */
const streamOf = (client: pg.Client): Socket =>
  (client as unknown as { connection: { stream: Socket } }).connection.stream
