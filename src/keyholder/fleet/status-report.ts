import type { ProbeSummary } from '../probe/stored-probe.js'

export type Level = 'ok' | 'warn' | 'crit'

/** Something that a person should look at. */
export interface StatusWarning {
  level: 'warn' | 'crit'
  /** stable, such as `base_age` */
  name: string
  message: string
  hint: string
}

/** A base backup or dump in the report. */
export interface StatusItem {
  id: string
  label: string | null
  state: 'usable' | 'unusable' | 'incomplete' | 'damaged'
  /** of a dump; null for base backups */
  database: string | null
  at: string
  age_seconds: number
  /** how long a base backup took; null for dumps, and where two clocks disagree */
  duration_seconds: number | null
  stored_bytes: number
  raw_bytes: number
}

/** Moments that can be restored to. */
export interface StatusWindow {
  /** the base backup that it begins with, when that is consistent */
  backup_id: string
  from_at: string
  from_lsn: string
  /** when the last WAL in it was stored: nothing in it was committed later */
  to_at: string
  to_lsn: string
  timeline: number
  /**
   * whether gaps were looked for: `listed`, every name of WAL was seen just now; `verified`, by "postbox verify --store" up
   * to `checked_to_at`; `no`: only its two ends were looked at
   */
  checked: 'listed' | 'verified' | 'no'
  checked_to_at: string | null
}

/** One life of a server; or a server of keyholder.yaml that has stored nothing, without a system identifier. */
export interface StatusLife {
  server: string
  system_identifier: string | null
  /** the life that goes on: that with the newest base backup. Nothing is asked of the others */
  current: boolean
  level: Level
  warnings: StatusWarning[]
  last_base: StatusItem | null
  last_dump: StatusItem | null
  /** the window that reaches to the newest WAL; null when there is none */
  window: StatusWindow | null
  /** all of them, oldest first: several where WAL is missing, or a timeline was left */
  windows: StatusWindow[]
  /** when the newest WAL was stored, by the bucket's clock */
  quiet_since: string | null
  /**
   * Nothing newer is stored. Is the server idle, it is not behind at all; is it not, what a loss of the server now would
   * lose is at most so old. The bucket cannot tell which; backup.status in the database can.
   */
  behind_at_most_seconds: number | null
  last_drill: {
    finished_at: string
    age_seconds: number
    ok: boolean
    backup_id: string
    problem: string | null
  } | null
  last_verify: { verified_at: string; age_seconds: number; ok: boolean; deep: boolean; problem: string | null } | null
  size: StatusSize
  /** newest first */
  base_backups: StatusItem[]
  dumps: StatusItem[]
}

/** What is stored and what it costs. */
export interface StatusSize {
  bytes: number
  base_bytes: number
  dump_bytes: number
  wal_bytes: number
  /** every name was seen; otherwise WAL is an estimate from samples, and what was broken off is not counted */
  exact: boolean
  /** what is added in a day, before pruning; an estimate, null where too little is known */
  growth_bytes_per_day: number | null
  /** an estimate: this size for a month, and the requests of a month like the last week */
  cost_per_month: number
}

/** Every server of a bucket, as `postbox status --json` shows it. */
export interface StatusReport {
  postbox_status: 1
  created_at: string
  bucket: string
  exact: boolean
  level: Level
  currency: string
  price_gb_month: number
  price_thousand_requests: number
  probe: ProbeSummary | null
  totals: {
    servers: number
    warn: number
    crit: number
    bytes: number
    growth_bytes_per_day: number
    cost_per_month: number
  }
  servers: StatusLife[]
}

/** The worst of them. */
export function worst(levels: readonly Level[]): Level {
  return levels.includes('crit') ? 'crit' : levels.includes('warn') ? 'warn' : 'ok'
}
