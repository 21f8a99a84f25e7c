// Health of the worker's container: 0 when the database says that a worker of it is alive, and not merely that a process runs.
// A second worker, which waits for the first to end, is well as long as that one is.
import pg from 'pg'
import { findPrimary } from '../dist/catalog/find-primary.js'
import { sessionConfig } from '../dist/catalog/driver.js'
import { databaseUrls } from '../dist/config.js'

const url = await findPrimary(databaseUrls(), () => undefined)
const client = new pg.Client(sessionConfig(url, 'postbox health'))
client.on('error', () => undefined)
await client.connect()
const { rows } = await client.query({
  text: 'select worker_alive, worker_error_code, worker_error_message from backup.status',
  query_timeout: 15_000,
})
await client.end()
const { worker_alive: alive, worker_error_code: code, worker_error_message: message } = rows[0]
// What troubles a living worker is for backup.checks to judge: a restart of the container mends none of it.
process.stdout.write(alive ? `alive${code ? `: ${message} (${code})` : ''}\n` : 'no worker is alive\n')
process.exitCode = alive ? 0 : 1
