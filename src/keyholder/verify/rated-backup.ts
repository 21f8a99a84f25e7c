import type { ListedBackup, Summary } from '../list-server.js'
import type { BackupPlace } from '../backup-place.js'

/** A base backup, and how far it is to be believed. */
export interface RatedBackup {
  id: string
  place: BackupPlace
  stoppedAt: Date
  /** when its manifest was, by the archive's clock */
  storedAt: Date
  sha256: string
  previous: string | null
  /** whether all that it needs itself is there */
  isRestorable: boolean
  /** whether its times are not to be believed; what was stored over it or beside it later says nothing against it */
  isDoubtful: boolean
}

/** How far clocks may lie apart. */
const CLOCKS_MS = 3_600_000
/** No backup takes so long. */
const LONGEST_MS = 7 * 86_400_000

export function rate(committed: readonly Summary[], listed: readonly ListedBackup[]): RatedBackup[] {
  const restorable = new Set(listed.flatMap((one) => (one.state === 'restorable' ? [one.backup_id] : [])))
  return committed.map((summary) => {
    const { place, storedAt, sha256, previous, row } = summary
    const isLate = storedAt.getTime() - Date.parse(row.stopped_at!) > CLOCKS_MS
    const isRestorable = restorable.has(row.backup_id)
    const isDoubtful = isLate || clockDoubt(summary) !== null
    const stoppedAt = new Date(row.stopped_at!)
    return { id: row.backup_id, place, stoppedAt, storedAt, sha256, previous, isRestorable, isDoubtful }
  })
}

/** Why the times that a backup says of itself cannot be true; null when they can. */
export function clockDoubt({ row, storedAt }: Summary): string | null {
  const [begun, ended] = [Date.parse(row.started_at!), Date.parse(row.stopped_at!)]
  const at = `it was stored at ${storedAt.toISOString()}`
  if (Math.max(begun, ended) > storedAt.getTime() + CLOCKS_MS) return `its times lie in the future: ${at}`
  if (begun >= storedAt.getTime() - LONGEST_MS) return null
  return `it says that it was begun at ${row.started_at!}, but ${at}`
}
