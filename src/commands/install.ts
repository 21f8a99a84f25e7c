import { Command } from 'commander'
import pg from 'pg'
import { checkServerName } from '../box/server-name.js'
import { catalogError } from '../catalog/catalog-error.js'
import { configure } from '../catalog/configure.js'
import { sessionConfig } from '../catalog/driver.js'
import { findPrimary } from '../catalog/find-primary.js'
import { installCatalog } from '../catalog/install.js'
import { ensureWorkerRole } from '../catalog/worker-role.js'
import { databaseUrls } from '../config.js'
import type { Secret } from '../secret.js'

interface InstallOptions {
  databaseUrl?: string
  server?: string
  workerRole?: string
}

const help = `
Examples:
  $ postbox install --database-url postgresql://postgres@localhost/postgres --server db1 --worker-role postbox

  Then, as anyone in the role backup_operator:
  $ psql -c "select backup.start_base()"

Running it again does no harm; after an upgrade of Postbox it brings the schema up to date.`

/** `postbox install`: makes or upgrades the schema `backup`. */
export function installCommand(): Command {
  return new Command('install')
    .option(
      '--database-url <url>',
      'where to install, as a superuser (default: POSTBOX_DATABASE_URL, better for passwords)',
    )
    .option('--server <name>', "this server's name in the bucket (default: the first grant says it)")
    .option('--worker-role <name>', 'also make the role that the worker logs in as, without a password')
    .addHelpText('after', help)
    .action(async (options: InstallOptions) => {
      process.stdout.write((await install(options)) + '\n')
    })
}

async function install(options: InstallOptions): Promise<string> {
  const { server, workerRole } = options
  if (server !== undefined) checkServerName(server)
  const given = options.databaseUrl
  const urls = given === undefined ? databaseUrls() : databaseUrls({ POSTBOX_DATABASE_URL: given })
  const url = await findPrimary(urls, (text) => {
    process.stderr.write(`postbox: ${text}\n`)
  })
  const client = await connect(url)
  try {
    await installCatalog(client)
    if (workerRole !== undefined) await ensureWorkerRole(client, workerRole)
    if (server !== undefined) await configure(client, 'server', server)
    const { rows } = await client.query<{ database: string }>('select current_database() as database')
    return `The catalog is installed in the database ${rows[0]!.database}.`
  } finally {
    await client.end()
  }
}

async function connect(url: Secret): Promise<pg.Client> {
  try {
    const client = new pg.Client(sessionConfig(url, 'postbox install'))
    // A lost connection is said by the next query; without a listener it would end the process.
    client.on('error', () => undefined)
    await client.connect()
    return client
  } catch (thrown) {
    throw catalogError(thrown)
  }
}
