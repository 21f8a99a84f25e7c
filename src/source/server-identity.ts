import { PostboxError } from '../errors.js'
import { parseLsn, type Lsn } from '../wal/lsn.js'
import type { ReplicationConnection } from './replication-connection.js'
import { textOf, type Row } from './server-message.js'

/** Which database system this is, and how it writes WAL. */
export interface ServerIdentity {
  /** decimal */
  systemIdentifier: string
  timeline: number
  /** end of the WAL that is flushed on the server */
  flushLsn: Lsn
  segmentBytes: number
  /** such as 180004 */
  versionNum: number
  /** a standby */
  inRecovery: boolean
}

/** Asks the server with IDENTIFY_SYSTEM and SHOW, both allowed on a physical replication connection. */
export async function identifyServer(connection: ReplicationConnection): Promise<ServerIdentity> {
  const system = only(await connection.run('IDENTIFY_SYSTEM'), 'IDENTIFY_SYSTEM')
  const size = only(await connection.run('SHOW wal_segment_size'), 'SHOW wal_segment_size')
  const recovery = only(await connection.run('SHOW in_hot_standby'), 'SHOW in_hot_standby')
  const version = only(await connection.run('SHOW server_version_num'), 'SHOW server_version_num')
  return {
    systemIdentifier: textOf(system, 'systemid')!,
    timeline: Number(textOf(system, 'timeline')),
    flushLsn: parseLsn(textOf(system, 'xlogpos')!),
    segmentBytes: parseSize(textOf(size, 'wal_segment_size')!),
    versionNum: Number(textOf(version, 'server_version_num')),
    inRecovery: textOf(recovery, 'in_hot_standby') === 'on',
  }
}

/** The one row of an answer. Throws `replication_failed` when there is none. */
export function only(rows: readonly Row[], command: string): Row {
  const row = rows[0]
  if (!row) {
    throw new PostboxError('replication_failed', `${command} answered no row`, 'See the log of the server.')
  }
  return row
}

const bytesByUnit: Record<string, number> = { kB: 1024, MB: 1024 ** 2, GB: 1024 ** 3 }

/** `16MB` as SHOW prints it → bytes. */
function parseSize(text: string): number {
  const match = /^(\d+)(kB|MB|GB)$/.exec(text)
  if (!match) {
    throw new PostboxError('replication_failed', `"${text}" is no WAL segment size`, 'See SHOW wal_segment_size.')
  }
  return Number(match[1]) * bytesByUnit[match[2]!]!
}
