import { createHash } from 'node:crypto'
import type { Box } from '../box/box.js'
import { historyKey, type Home } from '../box/key-names.js'
import { createPart } from '../box/part.js'
import type { Catalog } from '../catalog/catalog.js'
import type { TimelineFile } from '../source/timeline-files.js'

/** Posts a history file and records it: before any WAL of its timeline, and never removed. */
export async function storeTimelineFile(
  { box, catalog }: { box: Box; catalog: Catalog },
  home: Home,
  { timeline, content }: TimelineFile,
  signal: AbortSignal,
): Promise<void> {
  const key = historyKey(home, timeline, createHash('sha256').update(content).digest())
  await box.post({ ...createPart(key, [content], 'text/plain'), urgent: true }, signal)
  await catalog.recordTimeline(home.systemIdentifier, timeline, content.toString('utf8'), key)
}
