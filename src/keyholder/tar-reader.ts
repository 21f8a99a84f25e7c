/** What a tar holds, in order: an entry, then the pieces of its content. */
export type TarEvent =
  | { kind: 'file'; path: string; mode: number; bytes: number }
  | { kind: 'directory'; path: string; mode: number }
  | { kind: 'link'; path: string; to: string }
  /** a piece of the last file; a view into what was pushed */
  | { kind: 'data'; content: Buffer }
  /** the last file is complete; comes for empty files too */
  | { kind: 'end' }

const BLOCK = 512
const ZEROS = Buffer.alloc(BLOCK)

/**
 * Reads a tar as Postgres writes it (ustar: files, directories, symbolic links), pushed in pieces of any size.
 *
 * Copies nothing but headers that lie across two pieces. Throws a RangeError for anything else; paths are given as they
 * stand. Format: POSIX 1003.1, pax, "ustar Interchange Format".
 */
export class TarReader {
  readonly #header = Buffer.alloc(BLOCK)
  #headerFilled = 0
  /** content of the current file that is still to come */
  #left = 0
  /** zeros that fill its last block */
  #padding = 0
  #ended = false

  /** Says that nothing more comes. Throws a RangeError when that is too early. */
  finish(): void {
    if (this.#left > 0 || this.#padding > 0 || this.#headerFilled > 0) throw new RangeError('the tar is cut')
    if (!this.#ended) throw new RangeError('the tar has no end')
  }

  /** Reads the next piece. Its events hold views into it. */
  *push(piece: Buffer): Generator<TarEvent> {
    let at = 0
    while (at < piece.length) {
      if (this.#left > 0) {
        const take = Math.min(this.#left, piece.length - at)
        yield { kind: 'data', content: piece.subarray(at, at + take) }
        at += take
        this.#left -= take
        if (this.#left === 0) yield { kind: 'end' }
      } else if (this.#padding > 0) {
        const take = Math.min(this.#padding, piece.length - at)
        at += take
        this.#padding -= take
      } else {
        const take = Math.min(BLOCK - this.#headerFilled, piece.length - at)
        piece.copy(this.#header, this.#headerFilled, at, at + take)
        at += take
        this.#headerFilled += take
        if (this.#headerFilled === BLOCK) yield* this.#readHeader()
      }
    }
  }

  *#readHeader(): Generator<TarEvent> {
    const header = this.#header
    this.#headerFilled = 0
    if (header.equals(ZEROS)) {
      this.#ended = true
      return
    }
    if (this.#ended) throw new RangeError('the tar goes on behind its end')
    checkSum(header)
    const path = readPath(header)
    const mode = readNumber(header, 100, 8) & 0o7777
    const type = String.fromCharCode(header[156]!)
    if (type === '5') {
      yield { kind: 'directory', path, mode }
    } else if (type === '2') {
      yield { kind: 'link', path, to: readText(header, 157, 100) }
    } else if (type === '0' || type === '\0') {
      const bytes = readNumber(header, 124, 12)
      this.#left = bytes
      this.#padding = (BLOCK - (bytes % BLOCK)) % BLOCK
      yield { kind: 'file', path, mode, bytes }
      if (bytes === 0) yield { kind: 'end' }
    } else {
      throw new RangeError(`the tar holds an entry of type "${type}", ${path}`)
    }
  }
}

function readPath(header: Buffer): string {
  const name = readText(header, 0, 100)
  // Only ustar has a prefix; GNU tar keeps times there.
  const prefix = header.toString('latin1', 257, 263) === 'ustar\0' ? readText(header, 345, 155) : ''
  return prefix === '' ? name : `${prefix}/${name}`
}

function readText(header: Buffer, at: number, length: number): string {
  const field = header.subarray(at, at + length)
  const end = field.indexOf(0)
  return field.toString('utf8', 0, end < 0 ? length : end)
}

/** Octal digits, or, with the top bit set, a big-endian number: Postgres writes files over 8 GiB so. */
function readNumber(header: Buffer, at: number, length: number): number {
  const field = header.subarray(at, at + length)
  if (field[0]! & 0x80) {
    let value = BigInt(field[0]! & 0x7f)
    for (const byte of field.subarray(1)) value = (value << 8n) | BigInt(byte)
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new RangeError('the tar holds a number that is too large')
    return Number(value)
  }
  const text = field
    .toString('latin1')
    .replace(/[\0 ]+$/, '')
    .trimStart()
  if (!/^[0-7]*$/.test(text)) throw new RangeError('the tar holds a header with a broken number')
  return text === '' ? 0 : Number.parseInt(text, 8)
}

/** Sum of all bytes of the header, its own field counted as spaces. */
function checkSum(header: Buffer): void {
  let sum = 8 * 0x20
  for (let at = 0; at < BLOCK; at++) if (at < 148 || at >= 156) sum += header[at]!
  if (sum !== readNumber(header, 148, 8)) throw new RangeError('the tar holds a header with a wrong checksum')
}
