import { z } from 'zod'
import { PostboxError } from '../errors.js'
import { parseLsn, type Lsn } from '../wal/lsn.js'
import type { SegmentContents, StoredHistory, StoredSegment } from './stored-wal.js'

const Mark = z.string().regex(/^[0-9a-f]{12}$/)
const LsnText = z.string().regex(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/)
const SegmentName = z.string().regex(/^[0-9A-F]{24}$/)

/** The file that fetch-wal reads, as JSON. */
const Content = z.object({
  postbox_wal_choice: z.literal(1),
  /** by timeline in decimal */
  histories: z.record(z.string().regex(/^\d+$/), Mark),
  /** of names that are stored with several contents */
  segments: z.record(SegmentName, Mark),
  /** of segments that are to be joined from their tails, whatever else is stored of them: the last one's */
  tails: z.record(SegmentName, Mark),
  /** of segments that are the beginning of another: the end of a timeline that was left lies in the next one's first */
  beginnings: z.record(SegmentName, z.object({ of: SegmentName, up_to: LsnText })),
  /** the last segment: nothing that lies behind it belongs to this recovery */
  end: SegmentName,
})

/**
 * Which objects a recovery takes where their names do not say it: where two servers wrote the same WAL, so that it never
 * mixes them, and at the end of a timeline that was left.
 *
 * Made with the plan of a restore, and kept in the data directory until recovery has ended: what is stored meanwhile
 * changes nothing.
 */
export class WalChoice {
  constructor(readonly content: Omit<z.infer<typeof Content>, 'postbox_wal_choice'>) {}

  /** Reads the file. Throws `config_invalid`. */
  static parse(text: string): WalChoice {
    try {
      return new WalChoice(Content.parse(JSON.parse(text)))
    } catch (cause) {
      const message = 'the file that says which WAL to follow cannot be read'
      throw new PostboxError('config_invalid', message, 'Restore again.', { cause })
    }
  }

  format(): string {
    return JSON.stringify({ postbox_wal_choice: 1, ...this.content }, null, 1) + '\n'
  }

  /** The same, or one without a choice, for a recovery that ends with an earlier segment. */
  static endingWith(end: string, choice: WalChoice | null): WalChoice {
    return new WalChoice({ histories: {}, segments: {}, tails: {}, beginnings: {}, ...choice?.content, end })
  }

  /** The one content of a segment to take; null when there is none, or its tails are to be taken. */
  segment(name: string, contents: SegmentContents): StoredSegment | null {
    const { segments, tails } = this.content
    if (this.isBehind(name) || tails[name]) return null
    return pick(name, contents, segments[name])
  }

  history(timeline: number, histories: readonly StoredHistory[]): StoredHistory | null {
    return pick(`history of timeline ${timeline}`, histories, this.content.histories[timeline])
  }

  /** Mark of a tail that a segment must have; null when it has none. */
  tailMark(name: string): string | null {
    return this.content.tails[name] ?? null
  }

  /** The segment that this one is the beginning of, and how much of it; null for all but the end of a timeline. */
  beginningOf(name: string): { name: string; upTo: Lsn } | null {
    const beginning = this.content.beginnings[name]
    return beginning ? { name: beginning.of, upTo: parseLsn(beginning.up_to) } : null
  }

  /** Whether a segment lies behind the end of this recovery. */
  isBehind(name: string): boolean {
    return name.slice(8) > this.content.end.slice(8)
  }
}

function pick<Stored extends { mark: string }>(
  what: string,
  stored: readonly Stored[],
  mark: string | undefined,
): Stored | null {
  if (mark === undefined) return stored[0] ?? null
  const found = stored.find((one) => one.mark === mark)
  if (found) return found
  const message = `${what} is no longer stored with the content ${mark}, which this recovery follows`
  throw new PostboxError('wal_missing', message, 'Restore again.')
}
