import type { Socket } from 'node:net'
import type pg from 'pg'

/** A server that lives answers sooner. */
const GOODBYE_MS = 2000

/** Ends a connection; hangs up when the server is gone, or hangs, and so never answers the goodbye. */
export async function endClient(client: pg.Client): Promise<void> {
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection
  const hangUp = setTimeout(() => stream.destroy(), GOODBYE_MS)
  await client.end().finally(() => {
    clearTimeout(hangUp)
  })
}
