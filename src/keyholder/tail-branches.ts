import { createHash, type Hash } from 'node:crypto'
import { sha12 } from '../box/key-names.js'

/** Where in its segment a tail belongs, as offsets from the first byte. */
export interface TailPlace {
  key: string
  from: number
  to: number
  /** first 12 hex digits of the SHA-256 of all bytes up to `to`; null where only the beginning of the tail is meant */
  mark: string | null
  storedAt: Date
}

export interface TailPiece extends TailPlace {
  raw: Buffer
}

/** One content of a segment, as far as tails hold it without a gap. */
export interface TailBranch {
  readonly bytes: Buffer
  /** Whether a tail with this mark is a part of it. */
  has(mark: string): boolean
  /** Offset of the first byte that differs; null when one is the beginning of the other. */
  partsAt(other: TailBranch): number | null
  /** The tail that first held the byte at an offset. */
  pieceAt(offset: number): TailPlace
}

/** More than two come about by nobody's mistake; those that branched off last are forgotten. */
const BRANCHES_AT_MOST = 16

/**
 * Puts the tails of one segment together. Where two servers wrote the segment there is a branch for each.
 *
 * A tail's mark is that of everything before it too, so that a branch never holds bytes of two servers.
 */
export class TailBranches {
  #branches: Branch[] = [new Branch(Buffer.alloc(0), [])]

  /** Takes a tail, which must come in the order of `from`, then of time. False: it goes on from nothing that is there. */
  add(piece: TailPiece): boolean {
    const fitting = this.#branches.filter((branch) => branch.fits(piece))
    const same = fitting.filter((branch) => branch.agrees(piece))
    for (const branch of same) branch.extend(piece)
    if (same.length === 0 && fitting[0]) this.#branches.push(fitting[0].fork(piece))
    if (this.#branches.length > BRANCHES_AT_MOST) this.#branches = this.inOrder().slice(0, -1)
    return fitting.length > 0
  }

  /** The branch that is to be believed comes first: where two part, the one that was stored earlier goes before. */
  inOrder(): Branch[] {
    return [...this.#branches].sort((a, b) => (a.goesBefore(b) ? -1 : 1))
  }
}

class Branch implements TailBranch {
  /** of so many bytes from the beginning */
  readonly #hashes = new Map<number, Hash>()
  #room: Buffer
  #length: number

  /** @param pieces as far as they are part of it, in the order of `from` */
  constructor(
    bytes: Buffer,
    readonly pieces: TailPlace[],
  ) {
    this.#room = bytes
    this.#length = bytes.length
  }

  get bytes(): Buffer {
    return this.#room.subarray(0, this.#length)
  }

  has(mark: string): boolean {
    return this.pieces.some((one) => one.mark === mark)
  }

  /** Whether the piece goes on from the bytes before it. */
  fits(piece: TailPiece): boolean {
    return piece.from <= this.#length && sha12(this.#hashWith(piece).digest()) === piece.mark
  }

  /** Whether a piece that fits holds no other bytes than are here. */
  agrees({ raw, from, to }: TailPiece): boolean {
    const end = Math.min(to, this.#length)
    return raw.subarray(0, end - from).equals(this.#room.subarray(from, end))
  }

  /** Takes a piece that fits and agrees. */
  extend(piece: TailPiece): void {
    this.#hashes.set(piece.to, this.#hashWith(piece))
    const { raw, ...place } = piece
    this.pieces.push(place)
    if (piece.to <= this.#length) return
    if (piece.to > this.#room.length) {
      const room = Buffer.alloc(Math.max(piece.to, 2 * this.#room.length))
      this.bytes.copy(room)
      this.#room = room
    }
    raw.copy(this.#room, piece.from)
    this.#length = piece.to
  }

  /** Another branch: this one up to a piece that fits, and then the piece. */
  fork(piece: TailPiece): Branch {
    const shared = this.pieces
      .filter(({ from }) => from < piece.from)
      .map((one) => (one.to <= piece.from ? one : { ...one, to: piece.from, mark: null }))
    const branch = new Branch(Buffer.from(this.#room.subarray(0, piece.from)), shared)
    branch.extend(piece)
    return branch
  }

  /** Whether this one was stored first where the two part; whether it is longer where they do not. */
  goesBefore(other: Branch): boolean {
    const at = this.partsAt(other)
    if (at === null) return this.#length > other.#length
    const [mine, its] = [this.pieceAt(at), other.pieceAt(at)]
    const [since, itsSince] = [mine.storedAt.getTime(), its.storedAt.getTime()]
    return since === itsSince ? mine.key < its.key : since < itsSince
  }

  partsAt(other: TailBranch): number | null {
    const [mine, its] = [this.bytes, other.bytes]
    const end = Math.min(mine.length, its.length)
    const differs = (from: number, to: number) => !mine.subarray(from, to).equals(its.subarray(from, to))
    if (!differs(0, end)) return null
    let [low, high] = [0, end]
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      if (differs(low, middle)) high = middle
      else low = middle
    }
    return low
  }

  pieceAt(offset: number): TailPlace {
    const holding = this.pieces.filter(({ from, to }) => from <= offset && offset < to)
    return holding.reduce((first, one) => (one.storedAt < first.storedAt ? one : first))
  }

  #hashWith({ from, raw }: TailPiece): Hash {
    let hash = this.#hashes.get(from)
    if (!hash) this.#hashes.set(from, (hash = createHash('sha256').update(this.#room.subarray(0, from))))
    return hash.copy().update(raw)
  }
}
