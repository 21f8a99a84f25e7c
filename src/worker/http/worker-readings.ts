import { POST_BOUNDS, type KindCounts, type PostCounts } from '../../box/post-counts.js'
import type { CatalogFigures } from '../../catalog/figures.js'
import { known, type Reading, type Sample } from '../../observe/reading.js'
import { version } from '../../version.js'
import type { WorkerState } from '../worker-state.js'
import { FiguresSource } from './figures-source.js'

const CHECK_VALUE = { ok: 0, warn: 1, crit: 2 } as const

/** All that the worker tells Prometheus, by its conventions: base units, in the names. */
export function workerReadings(state: WorkerState): Reading[] {
  const source = new FiguresSource(state)
  const figure = (name: string, help: string, of: (figures: CatalogFigures) => number | null): Reading => ({
    name: `postbox_${name}`,
    help,
    type: 'gauge',
    read: async () => {
      const figures = await source.read()
      return figures ? known(of(figures)) : []
    },
  })
  const list = (name: string, help: string, of: (figures: CatalogFigures) => Sample[]): Reading => ({
    name: `postbox_${name}`,
    help,
    type: 'gauge',
    read: async () => {
      const figures = await source.read()
      return figures ? of(figures) : []
    },
  })
  return [
    ...ofProcess(state),
    ...ofPosts(state.counts),
    {
      name: 'postbox_catalog_up',
      help: '1 when the catalog has answered this scrape',
      type: 'gauge',
      read: async () => [{ value: (await source.read()) ? 1 : 0 }],
    },
    figure('wal_at_risk_bytes', 'WAL that is written and not stored yet', (f) => f.bytes_at_risk),
    figure('wal_at_risk_seconds', 'Age of the oldest WAL that is not stored yet', (f) => f.seconds_at_risk),
    figure('grant_expiry_timestamp_seconds', 'When the grant in use ends', (f) => f.grant_expires_at),
    figure('last_base_backup_timestamp_seconds', 'When the newest base backup ended', (f) => f.last_base_at),
    figure('last_base_backup_duration_seconds', 'How long the last job of a base backup took', (f) => f.last_base_took),
    figure('last_dump_timestamp_seconds', 'When the last dump was done', (f) => f.last_dump_at),
    figure('last_dump_duration_seconds', 'How long the last dump took', (f) => f.last_dump_took),
    figure('last_drill_timestamp_seconds', 'When a restore was last proved', (f) => f.last_drill_at),
    list('jobs', 'Jobs in the catalog by kind and state', (f) =>
      f.jobs.map(({ kind, state: of, jobs }) => ({ value: jobs, labels: { kind, state: of } })),
    ),
    list('job_done_bytes', 'What the running job has read', (f) =>
      f.running.map(({ kind, bytes_done }) => ({ value: bytes_done, labels: { kind } })),
    ),
    list('job_expected_bytes', 'What the running job has to read, by the estimate of the server', (f) =>
      f.running.flatMap(({ kind, bytes_total }) =>
        bytes_total === null ? [] : [{ value: bytes_total, labels: { kind } }],
      ),
    ),
    list('job_start_timestamp_seconds', 'When the running job began', (f) =>
      f.running.map(({ kind, since }) => ({ value: since, labels: { kind } })),
    ),
  ]
}

function ofProcess(state: WorkerState): Reading[] {
  const gauge = (name: string, help: string, read: () => Sample[]): Reading => ({
    name: `postbox_${name}`,
    help,
    type: 'gauge',
    read,
  })
  return [
    gauge('worker_info', 'Version of the worker', () => [{ value: 1, labels: { version } }]),
    gauge('worker_serving', '1 while it serves a catalog, 0 while it waits for one', () => [
      { value: state.term ? 1 : 0 },
    ]),
    gauge(
      'wal_wanted',
      '1 while WAL is to be stored, 0 while stream_wal is off; none while no catalog is served',
      () => (state.term ? [{ value: state.term.walWanted() ? 1 : 0 }] : []),
    ),
    gauge('wal_streaming', '1 while WAL is streamed', () => [{ value: state.term?.streaming() ? 1 : 0 }]),
    gauge('check_state', 'Each row of backup.checks: 0 ok, 1 warn, 2 crit; none while no catalog is served', () =>
      state.checks.map(({ name, state: now }) => ({ value: CHECK_VALUE[now], labels: { check: name } })),
    ),
  ]
}

function ofPosts(counts: PostCounts): Reading[] {
  const kinds = () => [...counts]
  const counter = (name: string, help: string, of: (counts: KindCounts) => number): Reading => ({
    name: `postbox_${name}`,
    help,
    type: 'counter',
    read: () => kinds().map(([kind, one]) => ({ value: of(one), labels: { kind } })),
  })
  return [
    {
      name: 'postbox_posts_total',
      help: 'POST requests by what was posted and how they ended: stored, canceled, or the code of the error',
      type: 'counter',
      read: () =>
        kinds().flatMap(([kind, { outcomes }]) =>
          Object.entries(outcomes).map(([outcome, value]) => ({ value, labels: { kind, outcome } })),
        ),
    },
    {
      name: 'postbox_post_duration_seconds',
      help: 'How long POST requests took, whatever their end',
      type: 'histogram',
      bounds: POST_BOUNDS,
      read: () => kinds().map(([kind, { buckets, seconds }]) => ({ labels: { kind }, buckets, sum: seconds })),
    },
    counter('post_retries_total', 'How often a POST that had failed was tried again', ({ retries }) => retries),
    counter('stored_bytes_total', 'Bytes that the box has taken', ({ bytes }) => bytes),
  ]
}
