import type { ListedBackup, ListedHome, Summaries } from '../list-server.js'
import { lost, odd, type Problem } from './problem.js'
import { clockDoubt } from './rated-backup.js'

/** What a listing says, and how grave it is; WAL is another matter. */
export function problemsListed({
  listed,
  summaries,
  only,
}: {
  listed: ListedHome
  summaries: Summaries
  only: string | null
}): Problem[] {
  const isWanted = (id: string) => only === null || only === id
  const found: Problem[] = []
  for (const { dump_id: id, state, problems: said } of listed.dumps.filter(({ dump_id }) => isWanted(dump_id))) {
    for (const [index, problem] of said.entries()) {
      const isLost = state === 'damaged' && index === 0
      found.push((isLost ? lost : odd)(`dump: ${problem}`, id))
    }
  }
  for (const backup of listed.backups.filter(({ backup_id }) => isWanted(backup_id))) {
    const { backup_id: id, problems: said } = backup
    for (const [index, problem] of said.entries()) {
      found.push((isUnusable(backup, index) ? lost : odd)(problem, id))
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
