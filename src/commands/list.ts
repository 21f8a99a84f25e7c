import { Command } from 'commander'
import { checkServerName } from '../box/server-name.js'
import { PostboxError } from '../errors.js'
import type { Archive } from '../keyholder/archive.js'
import { ofOneServer } from '../keyholder/damage.js'
import { listHomeByEnds } from '../keyholder/fleet/list-by-ends.js'
import { inOrder } from '../keyholder/in-order.js'
import { listHome, notListed, type ListedHome } from '../keyholder/list-server.js'
import { lastProbe, type ProbeSummary } from '../keyholder/probe/stored-probe.js'
import { servers, systemIdentifiers } from '../keyholder/stored-backups.js'
import { describeHomes } from './list-table.js'
import { withArchive } from './with-archive.js'

const help = `
Example:
  $ postbox list --server db1

It reads the bucket alone. A backup can be restored to any moment of its window, a dump as it is. Times are UTC.

With --server every name of WAL is read, and the last commits. Without, the number of requests grows with backups and dumps and
not with WAL: a timeline of more than a thousand segments is looked at by its two ends, so that a gap between them is seen only
if "postbox verify --store" has found it, and it is said when that was. "~" stands before the end of a window whose last commit
was not read: it is about when the last WAL in it was stored. --exact reads of every server what --server reads of one.
What is late or missing in a fleet: "postbox status".

Exit codes: 0 done, 1 something could not be listed.`

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
        json
          ? JSON.stringify({ servers: homes, probe }, null, 1) + '\n'
          : describeHomes(homes, server === undefined) + describeProbe(probe),
      )
      if (homes.some(({ error }) => error !== null)) process.exitCode = 1
    })
}

/** Every life of one server, or of all. A life that cannot be listed hides no other. Throws `backup_missing`. */
export async function listAll(archive: Archive, asked: string | null, exact: boolean): Promise<ListedHome[]> {
  const list = exact ? listHome : listHomeByEnds
  const homes: ListedHome[] = []
  const listServer = async (server: string): Promise<ListedHome[]> => {
    const found: ListedHome[] = []
    for (const systemIdentifier of await systemIdentifiers(archive, server)) {
      const home = { server, systemIdentifier }
      found.push(await list(archive, home).catch((thrown: unknown) => notListed(home, ofOneServer(thrown))))
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
