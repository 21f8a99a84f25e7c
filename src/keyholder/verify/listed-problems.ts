import { parseManifestName, type Home } from '../../box/key-names.js'
import type { Archive } from '../archive.js'
import { DUMP_GONE } from '../dumps/list-dumps.js'
import type { ListedBackup, ListedHome, Summaries } from '../list-server.js'
import { MANIFEST_GONE } from '../manifest-chain.js'
import { openPlans } from '../prune/prune-plan.js'
import { lost, odd, type Problem } from './problem.js'
import { clockDoubt } from './rated-backup.js'

/** What a listing says, and how grave it is; WAL is another matter. */
export async function problemsListed(
  archive: Archive,
  home: Home,
  { listed, summaries, only }: { listed: ListedHome; summaries: Summaries; only: string | null },
): Promise<Problem[]> {
  const isWanted = (id: string) => only === null || only === id
  const pruning = new Pruning(archive, home)
  const found: Problem[] = []
  for (const { dump_id: id, state, problems: said } of listed.dumps.filter(({ dump_id }) => isWanted(dump_id))) {
    for (const [index, problem] of said.entries()) {
      const isGone = problem.startsWith(DUMP_GONE)
      const isPruned = isGone && (await pruning.hasBegun(/[^/]+\.json/.exec(problem)?.[0] ?? ''))
      const isLost = (state === 'damaged' && index === 0) || (isGone && !isPruned)
      found.push((isLost ? lost : odd)(`dump: ${problem}`, id))
    }
  }
  const previous = new Map(summaries.committed.map((one) => [one.row.backup_id, one.previous ?? '']))
  for (const backup of listed.backups.filter(({ backup_id }) => isWanted(backup_id))) {
    const { backup_id: id, problems: said } = backup
    for (const [index, problem] of said.entries()) {
      const named = `manifest-${previous.get(id)?.slice(0, 12) ?? ''}.json`
      const isGone = problem === MANIFEST_GONE && !(await pruning.hasBegun(named))
      found.push((isGone || isUnusable(backup, index) ? lost : odd)(problem, id))
    }
  }
  for (const summary of summaries.committed.filter(({ row }) => isWanted(row.backup_id))) {
    const doubt = clockDoubt(summary)
    if (doubt !== null) found.push(odd(`suspicious: ${doubt}`, summary.row.backup_id))
  }
  if (only === null) found.push(...listed.problems.map((problem) => odd(problem)))
  return found
}

/** The last sentence says why it cannot be restored. */
function isUnusable({ state, problems }: ListedBackup, index: number): boolean {
  return (state === 'wal missing' || state === 'damaged') && index === problems.length - 1
}

/** What an interrupted prune has begun to delete. */
class Pruning {
  #marks: Promise<Set<string>> | undefined

  constructor(
    readonly archive: Archive,
    readonly home: Home,
  ) {}

  /** Whether a manifest of this name is among it. */
  async hasBegun(name: string): Promise<boolean> {
    const mark = parseManifestName(name)
    return mark !== null && (await (this.#marks ??= this.#read())).has(mark)
  }

  async #read(): Promise<Set<string>> {
    const groups = (await openPlans(this.archive, this.home, [])).flatMap(({ plan }) => plan.groups)
    const keys = groups.flatMap((group) => (group.kind === 'manifest' ? group.keys : []))
    return new Set(keys.flatMap((key) => parseManifestName(key.split('/').at(-1)!) ?? []))
  }
}
