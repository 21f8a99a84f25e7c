import { Command } from 'commander'
import type { Archive } from '../keyholder/archive.js'
import { chooseHome } from '../keyholder/choose-home.js'
import { RebuildSession } from '../keyholder/rebuild/apply.js'
import { printScript } from '../keyholder/rebuild/print.js'
import { rebuildScript } from '../keyholder/rebuild/rebuild.js'
import { Secret } from '../secret.js'
import { withArchive } from './with-archive.js'

const help = `
Examples:
  After a restore, before the worker starts, where the S3 keys are:
  $ postbox rebuild-catalog --server db1 --database-url postgresql://postgres@db1/postgres

  The same where only psql reaches the database:
  $ postbox rebuild-catalog --server db1 | psql postgresql://postgres@db1/postgres

It reads the bucket alone, adds what the catalog does not have and keeps what it has, all or nothing; a second time changes
nothing. Run it as the owner of the schema, after "postbox install". What it leaves out, and what looks suspicious, is said on stderr.

Exit codes: 0 done, also with such notes. 1 failed: the catalog is as it was.`

interface Options {
  server: string
  system?: string
  databaseUrl?: string
  readWal?: true
  forgetMissing?: true
  json?: true
}

/** `postbox rebuild-catalog`: the catalog of a new or restored server, from the bucket. */
export function rebuildCatalogCommand(): Command {
  return new Command('rebuild-catalog')
    .requiredOption('--server <name>', 'the server whose archive it is')
    .option('--system <number>', "of this one of the server's lives (default: the database's own, or the newest)")
    .option('--database-url <url>', 'do it there, in place of printing SQL for psql')
    .option('--read-wal', 'read every segment: whole hashes, and the time of every last commit')
    .option('--forget-missing', 'take away backups, dumps and WAL that the bucket no longer has, as after prune')
    .option('--json', 'with --database-url: print JSON')
    .addHelpText('after', help)
    .action(async (options: Options) => {
      await withArchive((archive) => run(archive, options))
    })
}

async function run(archive: Archive, options: Options): Promise<void> {
  const notes: string[] = []
  const note = (text: string) => {
    notes.push(printable(text))
    if (!options.json) process.stderr.write(`postbox: ${printable(text)}\n`)
  }
  if (options.databaseUrl === undefined) {
    const script = await scriptOf(archive, options, options.system ?? null, note)
    await printScript(script.pieces, process.stdout)
    return
  }
  const session = await RebuildSession.open(new Secret(options.databaseUrl), note)
  try {
    // Which folder to read is all that the database is asked; the rest comes from the bucket.
    const system = options.system ?? (await session.systemIdentifier())
    const { home, pieces } = await scriptOf(archive, options, system, note)
    const rows = await session.run(pieces)
    process.stdout.write(
      options.json
        ? JSON.stringify({ server: home.server, system_identifier: home.systemIdentifier, rows, notes }, null, 1) + '\n'
        : [`server ${home.server}, system identifier ${home.systemIdentifier}`, ...rows.map(describe), ''].join('\n'),
    )
  } finally {
    await session.end()
  }
}

async function scriptOf(archive: Archive, options: Options, system: string | null, note: (text: string) => void) {
  const { home, notes } = await chooseHome(archive, options.server, system, null)
  for (const one of notes) note(one.replace('--system-identifier', '--system'))
  const { readWal = false, forgetMissing = false } = options
  return { home, pieces: rebuildScript(archive, { home, readWal, forgetMissing, note }) }
}

const describe = ({ what, rows }: { what: string; rows: number }): string => `  ${what}: ${rows}`

/** Keys are made by whoever has a grant, so that a terminal must not take them for commands. */
// eslint-disable-next-line no-control-regex
const printable = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?')
