import { asPostboxError } from '../errors.js'
import { parseTimelineHistory, type TimelineSwitch } from '../wal/timeline-history.js'
import type { ReplicationConnection } from './replication-connection.js'
import { only } from './server-identity.js'

export interface TimelineFile {
  timeline: number
  /** the .history file's bytes */
  content: Buffer
}

/**
 * History files of a timeline and of its ancestors, newest first. Timeline 1 has none.
 *
 * An ancestor's own file may be gone from the server; the newest one names all of them, so that is no error.
 */
export async function readTimelineFiles(connection: ReplicationConnection, timeline: number): Promise<TimelineFile[]> {
  if (timeline === 1) return []
  const newest = { timeline, content: await readTimelineFile(connection, timeline) }
  const files = [newest]
  for (const ancestor of parseTimelineHistory(newest.content.toString('utf8'))) {
    if (ancestor.timeline === 1) continue
    try {
      files.push({ timeline: ancestor.timeline, content: await readTimelineFile(connection, ancestor.timeline) })
    } catch (thrown) {
      if (asPostboxError(thrown).code !== 'slot_invalid') throw thrown
    }
  }
  return files
}

/** A timeline's ancestors, newest first, without asking for their own files. */
export async function readAncestors(connection: ReplicationConnection, timeline: number): Promise<TimelineSwitch[]> {
  if (timeline === 1) return []
  const content = await readTimelineFile(connection, timeline)
  return parseTimelineHistory(content.toString('utf8')).sort((a, b) => b.timeline - a.timeline)
}

async function readTimelineFile(connection: ReplicationConnection, timeline: number): Promise<Buffer> {
  const row = only(await connection.run(`TIMELINE_HISTORY ${timeline}`), 'TIMELINE_HISTORY')
  return row.get('content') ?? Buffer.alloc(0)
}
