import { Command } from 'commander'
import { checkServerName } from '../box/server-name.js'
import { PostboxError } from '../errors.js'
import type { Archive } from '../keyholder/archive.js'
import type { ListedDump } from '../keyholder/dumps/list-dumps.js'
import { listHomeByEnds } from '../keyholder/fleet/list-by-ends.js'
import { inOrder } from '../keyholder/in-order.js'
import { listHome, type ListedBackup, type ListedHome } from '../keyholder/list-server.js'
import type { ListedTimeline } from '../keyholder/list-timelines.js'
import { lastProbe, type ProbeSummary } from '../keyholder/probe/stored-probe.js'
import { servers, systemIdentifiers } from '../keyholder/stored-backups.js'
import { roundBytes } from './round-bytes.js'
import { table } from './table.js'
import { withArchive } from './with-archive.js'

const help = `
Example:
  $ postbox list --server db1

It reads the bucket alone. A backup can be restored to any moment of its window, a dump as it is. Times are UTC.

With --server every name of WAL is read. Without, a timeline of more than a thousand segments is looked at by its ends, so that
the requests do not grow with it: a window then ends when its last WAL was stored, marked with ~, and a gap between is seen only
if "postbox verify --store" has found it. --exact reads every name of every server. What is late or missing in a fleet: "postbox status".`

const SERVERS_AT_ONCE = 4

interface Options {
  server?: string
  exact?: true
  json?: true
}

/** `postbox list`: what is in the archive, and what can be done with it. */
export function listCommand(): Command {
  return new Command('list')
    .option('--server <name>', 'one server (default: all that are in the bucket)')
    .option('--exact', 'read every name of WAL, also where no server is named')
    .option('--json', 'print JSON')
    .addHelpText('after', help)
    .action(async ({ server, exact, json }: Options) => {
      const { homes, probe } = await withArchive(async (archive) => ({
        homes: await listAll(archive, server ?? null, exact ?? server !== undefined),
        probe: await lastProbe(archive),
      }))
      process.stdout.write(
        json ? JSON.stringify({ servers: homes, probe }, null, 1) + '\n' : describeAll(homes) + describeProbe(probe),
      )
    })
}

async function listAll(archive: Archive, asked: string | null, exact: boolean): Promise<ListedHome[]> {
  const list = exact ? listHome : listHomeByEnds
  const homes: ListedHome[] = []
  const listServer = async (server: string): Promise<ListedHome[]> => {
    const found: ListedHome[] = []
    for (const systemIdentifier of await systemIdentifiers(archive, server)) {
      found.push(await list(archive, { server, systemIdentifier }))
    }
    return found
  }
  const wanted = asked === null ? await servers(archive) : [checkServerName(asked)]
  for await (const found of inOrder(wanted, { atOnce: SERVERS_AT_ONCE }, listServer)) homes.push(...found)
  if (asked !== null && homes.length === 0) {
    const hint = 'Run "postbox list" to see which servers are in the bucket.'
    throw new PostboxError('backup_missing', `nothing is stored for server ${asked}`, hint)
  }
  return homes
}

function describeProbe(probe: ProbeSummary | null): string {
  if (probe === null) return 'never probed: "postbox probe" tries what the bucket does\n'
  const { probed_at, immutable } = probe
  return `probed ${probed_at}: ${immutable ? 'immutable by Object Lock' : 'not immutable'}\n`
}

const HEADINGS = ['backup', 'label', 'state', 'tli', 'size', 'stored', 'start', 'stop', 'restorable from', 'to']

const DUMP_HEADINGS = ['dump', 'label', 'state', 'holds', 'database', 'size', 'stored', 'snapshot at', 'LSN']

function describeAll(homes: readonly ListedHome[]): string {
  return homes.length === 0 ? 'no server has stored anything in this bucket\n' : homes.map(describe).join('\n')
}

function describe(home: ListedHome): string {
  const lines = [`server ${home.server}, system identifier ${home.system_identifier}`]
  lines.push(
    ...(home.backups.length === 0
      ? ['  no backups']
      : table(
          HEADINGS,
          home.backups.map((one) => row(one, home.exact)),
        )),
  )
  if (home.dumps.length > 0) lines.push(...table(DUMP_HEADINGS, home.dumps.map(dumpRow)))
  for (const { timeline, from_lsn, to_lsn } of home.wal_gaps) {
    lines.push(`  gap: WAL of timeline ${timeline} is missing from ${from_lsn} to ${to_lsn}`)
  }
  if (home.timelines.length > 1) lines.push(...home.timelines.map(describeTimeline))
  for (const { timeline, from_lsn, to_lsn, keys } of home.partings) {
    const stretch = from_lsn === to_lsn ? `at ${from_lsn}` : `from ${from_lsn} to ${to_lsn}`
    lines.push(
      `  timeline ${timeline} is stored in two ways ${stretch}, as after a split brain; restore --follow KEY takes one of them:`,
      ...keys.map((key) => `    ${key}`),
    )
  }
  for (const backup of home.backups) for (const one of backup.problems) lines.push(`  ${backup.backup_id}: ${one}`)
  for (const dump of home.dumps) for (const one of dump.problems) lines.push(`  ${dump.dump_id}: ${one}`)
  for (const one of home.problems) lines.push(`  ${one}`)
  if (home.wal_seen === 'ends' && home.backups.length > 0) {
    lines.push(`  gaps in its WAL were not looked for: postbox list --server ${home.server}`)
  }
  return lines.join('\n') + '\n'
}

function describeTimeline({ timeline, parent, switch_lsn, from_lsn, to_lsn }: ListedTimeline): string {
  const origin = parent === null ? '' : ` left ${parent} at ${switch_lsn!};`
  const stored = from_lsn === null ? 'no whole segment' : `whole segments from ${from_lsn} to ${to_lsn!}`
  return `  timeline ${timeline} (0x${timeline.toString(16).toUpperCase()}):${origin} ${stored}`
}

function row(backup: ListedBackup, exact: boolean): string[] {
  return [
    backup.backup_id,
    backup.label ?? '',
    backup.state,
    String(backup.window?.timeline ?? backup.timeline ?? ''),
    backup.raw_bytes === null ? '' : roundBytes(backup.raw_bytes),
    backup.stored_bytes === null ? '' : roundBytes(backup.stored_bytes),
    backup.start_lsn ?? '',
    backup.stop_lsn ?? '',
    backup.window?.from_at.replace(/\.\d+Z$/, 'Z') ?? '',
    backup.window ? `${exact ? '' : '~'}${backup.window.to_at}` : '',
  ]
}

function dumpRow(dump: ListedDump): string[] {
  return [
    dump.dump_id,
    dump.label ?? '',
    dump.state,
    // Masked is what a person must not overlook, also of a part.
    dump.masked ? 'masked' : dump.whole ? 'whole' : dump.whole === null ? '' : 'part',
    dump.database ?? '',
    dump.raw_bytes === null ? '' : roundBytes(dump.raw_bytes),
    dump.stored_bytes === null ? '' : roundBytes(dump.stored_bytes),
    dump.snapshot_at?.replace(/\.\d+Z$/, 'Z') ?? '',
    dump.snapshot_lsn ?? '',
  ]
}
