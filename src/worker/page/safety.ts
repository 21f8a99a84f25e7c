import type { Overview } from '../../catalog/overview.js'
import type { OverviewWindow } from '../../catalog/overview-recovery.js'
import { parseLsn, type Lsn } from '../../wal/lsn.js'
import { inUtc } from './words.js'
import type { Seen } from './seen.js'

/** The answer to the one question. */
export interface Safety {
  level: 'ok' | 'warn' | 'crit'
  /** what changes only when the state does */
  words: string
  /** whatever was committed until then can be restored; null: nothing can be, or it is not known */
  until: number | null
  /** it may be later: not all is known */
  atLeast: boolean
  why: string
}

/** The window that goes on: of the newest timeline that this server came by. */
export const newestWindow = ({ windows }: Overview): OverviewWindow | null =>
  windows.find(({ is_current, is_own }) => is_current && is_own) ?? null

/** Until when all can be restored, as far as it is known, and never later. */
export function safety(seen: Seen): Safety {
  const { overview, away, readAt } = seen
  if (!overview) {
    const why = away ? `Since ${inUtc(away.since.getTime())}: ${away.why}.` : 'It was not asked yet.'
    return { level: 'crit', words: 'The database has not answered yet', until: null, atLeast: false, why }
  }
  const found = withCatalog(overview, seen.durable)
  if (!away) return found
  return {
    level: 'crit',
    words: 'The database does not answer',
    until: found.until,
    atLeast: true,
    why: `It was last heard of at ${inUtc(readAt!.getTime())}: ${away.why}. All below is as it was then.`,
  }
}

function withCatalog(overview: Overview, durable: Lsn | null): Safety {
  const { now_at, seconds_at_risk: waits, durable_lsn, jobs } = overview
  if (overview.dumps_alone) return byDumps(overview)
  const window = newestWindow(overview)
  if (!window) {
    const isComing = jobs.some(({ kind }) => kind === 'base')
    return {
      level: isComing ? 'warn' : 'crit',
      words: 'Nothing can be restored yet',
      until: null,
      atLeast: false,
      why: isComing ? 'The first base backup is on its way.' : 'Take a base backup: SELECT backup.start_base().',
    }
  }
  if (!window.open || !window.is_last) {
    return {
      level: 'crit',
      words: 'WAL is missing',
      until: window.to_at,
      atLeast: false,
      why: 'What was committed after that cannot be restored: WAL is missing, until a base backup was taken behind it.',
    }
  }
  const state = stateOfChecks(overview)
  if (waits === null) {
    const why = 'How much WAL is not stored yet cannot be seen: see the checks below.'
    return { ...state, until: window.to_at, atLeast: true, why }
  }
  // A slot that somebody made anew stands where nothing was stored: the worker must say as much.
  if (durable === null || durable_lsn === null || parseLsn(durable_lsn) > durable) {
    const why = 'The worker has not said yet how far WAL is stored.'
    return { ...state, until: window.to_at, atLeast: true, why }
  }
  const why = 'Whatever was committed until then can be restored, to any moment of the window.'
  return { ...state, until: Math.max(now_at - waits * 1000, window.from_at), atLeast: false, why }
}

/** Where WAL is not stored: as of the newest dump, and nothing between two. */
function byDumps(overview: Overview): Safety {
  const { whole_dump_at: until } = overview
  if (until === null) {
    const why = 'WAL is not stored (stream_wal is off), and there is no whole dump: SELECT backup.start_dump().'
    return { level: 'crit', words: 'Nothing can be restored yet', until: null, atLeast: false, why }
  }
  const why = 'As of the newest whole dump, of its database alone. WAL is not stored: the setting stream_wal is off.'
  return { ...stateOfChecks(overview), until, atLeast: false, why }
}

function stateOfChecks({ checks }: Overview): Pick<Safety, 'level' | 'words'> {
  const count = (state: string) => checks.filter((check) => check.state === state).length
  const [crit, warn] = [count('crit'), count('warn')]
  if (crit > 0) return { level: 'crit', words: crit === 1 ? 'One check is critical' : `${crit} checks are critical` }
  if (warn > 0) return { level: 'warn', words: warn === 1 ? 'One check warns' : `${warn} checks warn` }
  return { level: 'ok', words: 'All checks are ok' }
}
