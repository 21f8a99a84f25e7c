import { Command, Option } from 'commander'
import { PostboxError } from '../errors.js'
import type { Archive } from '../keyholder/archive.js'
import { chooseDump, type ChosenDump } from '../keyholder/dumps/choose-dump.js'
import { restoreDump, type RestoredDump } from '../keyholder/dumps/restore-dump.js'
import { Secret } from '../secret.js'
import { interruptSignal } from './interrupt.js'
import { parseJobs } from './parse-jobs.js'
import { Progress } from './progress.js'
import { roundBytes } from './round-bytes.js'
import { withArchive } from './with-archive.js'

const help = `
Examples:
  The newest dump of a whole database, into a new database:
  $ postbox restore-dump --server db1 --database-url postgresql://postgres@localhost/shop --create

  Two tables, in place of what they hold now:
  $ postbox restore-dump --server db1 --database-url postgresql://postgres@localhost/shop --tables orders,sales.lines \\
      --clean --if-exists

Roles and tablespaces are not in a dump: make them first, or leave them out with --no-owner --no-privileges
--no-tablespaces.`

interface Options {
  server: string
  databaseUrl: string
  dump?: string
  database?: string
  systemIdentifier?: string
  tables?: string
  jobs: number
  schemaOnly?: true
  dataOnly?: true
  create?: true
  clean?: true
  ifExists?: true
  owner: boolean
  privileges: boolean
  tablespaces: boolean
  disableTriggers?: true
  masked?: true
  json?: true
}

/** `postbox restore-dump`: a logical dump back into a database. */
export function restoreDumpCommand(): Command {
  return new Command('restore-dump')
    .requiredOption('--server <name>', 'the server that was dumped')
    .requiredOption('--database-url <url>', 'where to; a password is better in PGPASSWORD or ~/.pgpass')
    .option(
      '--dump <id>',
      'this dump (default: the newest of a whole database, or with --masked the newest masked one)',
    )
    .option('--database <name>', 'the newest of this database (needed where there are several)')
    .option('--system-identifier <number>', "of this one of the server's lives")
    .option('--tables <names>', 'these tables and what is theirs, with commas between them')
    .addOption(new Option('--jobs <number>', 'connections at once').argParser(parseJobs).default(4))
    .option('--schema-only', 'definitions without rows')
    .option('--data-only', 'rows alone, into tables that are there')
    .option('--create', 'make the database, as the dumped one was')
    .option('--clean', 'drop first what the dump holds')
    .option('--if-exists', 'with --clean: pass over what is not there')
    .option('--no-owner', 'everything belongs to the user of the URL')
    .option('--no-privileges', 'without GRANT and REVOKE')
    .option('--no-tablespaces', 'everything in the default tablespace')
    .option('--disable-triggers', 'with --data-only: no trigger and no foreign key looks at the rows')
    .option('--masked', 'one whose columns were masked, and no other (default: the newest)')
    .option('--json', 'print JSON')
    .addHelpText('after', help)
    .action(async (options: Options) => {
      checkTogether(options)
      await withArchive((archive) => run(archive, options))
    })
}

async function run(archive: Archive, options: Options): Promise<void> {
  const chosen = await chooseDump(archive, {
    server: options.server,
    systemIdentifier: options.systemIdentifier ?? null,
    dumpId: options.dump ?? null,
    database: options.database ?? null,
    masked: options.masked ?? false,
  })
  const notes = [...chosen.notes]
  const progressOf = (bytes: number) => new Progress('restoring', bytes, process.stderr.isTTY && !options.json)
  let progress = progressOf(0)
  const startedAt = performance.now()
  try {
    const restored = await restoreDump({
      archive,
      ...chosen,
      database: new Secret(options.databaseUrl),
      jobs: options.jobs,
      tables: options.tables ?? null,
      what: options.schemaOnly ? 'schema' : options.dataOnly ? 'data' : 'all',
      create: options.create ?? false,
      clean: options.clean ?? false,
      ifExists: options.ifExists ?? false,
      owner: options.owner,
      privileges: options.privileges,
      tablespaces: options.tablespaces,
      disableTriggers: options.disableTriggers ?? false,
      signal: interruptSignal(),
      onExpected: (bytes) => {
        progress = progressOf(bytes)
      },
      onProgress: (bytes) => {
        progress.add(bytes)
      },
      onNote: (note) => notes.push(note),
    })
    progress.end()
    const seconds = (performance.now() - startedAt) / 1000
    process.stdout.write(report(chosen, restored, seconds, notes, options.json ?? false))
  } finally {
    progress.end()
  }
}

function report(
  { home, dump }: ChosenDump,
  { tables, rows }: RestoredDump,
  seconds: number,
  notes: string[],
  json: boolean,
): string {
  const { dump_id, database, snapshot_at, snapshot_lsn } = dump.manifest
  if (json) {
    const { server, systemIdentifier: system_identifier } = home
    const shown = { server, system_identifier, dump_id, database, snapshot_at, snapshot_lsn, tables, rows }
    return JSON.stringify({ ...shown, seconds: Number(seconds.toFixed(3)), notes }, null, 1) + '\n'
  }
  const bytes = roundBytes(dump.manifest.tables.reduce((sum, { raw_bytes }) => sum + raw_bytes, 0))
  return [
    `restored dump ${dump_id} of database ${database} as of ${snapshot_at}: ${rows} rows of ${tables} tables in ${seconds.toFixed(1)} s`,
    `the dump holds ${bytes}; its snapshot is at ${snapshot_lsn}`,
    ...notes.map((note) => `note: ${note}`),
    'next: ANALYZE, so that queries are planned well',
    '',
  ].join('\n')
}

function checkTogether({ schemaOnly, dataOnly, create, clean, ifExists, disableTriggers }: Options): void {
  const wrong = (message: string, hint: string) => new PostboxError('bad_argument', message, hint)
  if (schemaOnly && dataOnly) throw wrong('--schema-only and --data-only exclude each other', 'Leave both out for all.')
  if (dataOnly && (create || clean)) {
    throw wrong('--data-only fills tables that are there', 'Leave --create and --clean out.')
  }
  if (create && clean) throw wrong('--create makes an empty database', 'Leave --clean out.')
  if (ifExists && !clean) throw wrong('--if-exists goes with --clean', 'Add --clean, or leave it out.')
  if (disableTriggers && !dataOnly) throw wrong('--disable-triggers goes with --data-only', 'Leave it out.')
}
