/** Receives CopyData payloads without their being gathered first: a small header, then the body as it comes. */
export interface CopyHandler {
  /** How many payload bytes to gather before `header` is called; `payloadBytes` for the whole message. */
  headerBytes(kind: number, payloadBytes: number): number
  /** `header` is reused for the next message: copy what must stay. */
  header(header: Buffer, bodyBytes: number): void
  /** A piece of the body: `read` from `from` to `to`. It belongs to the caller until the next read: copy it now. */
  body(read: Buffer, from: number, to: number): void
  /** One read of the socket is through. The place to pause. */
  readEnd(): void
}

const COPY_DATA = 0x64
const MESSAGE_HEADER_BYTES = 5

/**
 * Cuts what a Postgres server sends into messages: one byte of type, four of length, payload.
 *
 * CopyData goes to the copy handler in pieces of the read buffer, uncopied; everything else is gathered and passed whole.
 *
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
export class MessageReader {
  copyHandler: CopyHandler | null = null

  readonly #onMessage: (type: string, payload: Buffer) => void
  readonly #messageHeader = Buffer.alloc(MESSAGE_HEADER_BYTES)
  #messageHeaderFilled = 0
  /** payload bytes of the current message that have not come yet */
  #left = 0
  #gathered = Buffer.alloc(256)
  #gatheredBytes = 0
  /** bytes to gather before the message or its header is complete; -1: the copy header's length is not known yet */
  #wanted = 0
  #inBody = false

  constructor(onMessage: (type: string, payload: Buffer) => void) {
    this.#onMessage = onMessage
  }

  read(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#messageHeaderFilled < MESSAGE_HEADER_BYTES) at = this.#readMessageHeader(chunk, at)
      else if (this.#inBody) at = this.#readBody(chunk, at)
      else at = this.#gather(chunk, at)
    }
    this.copyHandler?.readEnd()
  }

  #readMessageHeader(chunk: Buffer, at: number): number {
    const take = Math.min(MESSAGE_HEADER_BYTES - this.#messageHeaderFilled, chunk.length - at)
    chunk.copy(this.#messageHeader, this.#messageHeaderFilled, at, at + take)
    this.#messageHeaderFilled += take
    if (this.#messageHeaderFilled === MESSAGE_HEADER_BYTES) {
      this.#left = this.#messageHeader.readUInt32BE(1) - 4
      this.#gatheredBytes = 0
      this.#wanted = this.#isCopyData && this.#left > 0 ? -1 : this.#left
      if (this.#left === 0) this.#endGathering()
    }
    return at + take
  }

  get #isCopyData(): boolean {
    return this.#messageHeader[0] === COPY_DATA && this.copyHandler !== null
  }

  #gather(chunk: Buffer, at: number): number {
    if (this.#wanted === -1) {
      this.#wanted = Math.min(this.copyHandler!.headerBytes(chunk[at]!, this.#left), this.#left)
    }
    const take = Math.min(this.#wanted - this.#gatheredBytes, chunk.length - at)
    if (this.#gathered.length < this.#wanted) {
      const larger = Buffer.alloc(this.#wanted)
      this.#gathered.copy(larger, 0, 0, this.#gatheredBytes)
      this.#gathered = larger
    }
    chunk.copy(this.#gathered, this.#gatheredBytes, at, at + take)
    this.#gatheredBytes += take
    this.#left -= take
    if (this.#gatheredBytes === this.#wanted) this.#endGathering()
    return at + take
  }

  #endGathering(): void {
    const payload = this.#gathered.subarray(0, this.#gatheredBytes)
    if (this.#isCopyData) {
      this.copyHandler!.header(payload, this.#left)
      this.#inBody = this.#left > 0
    } else {
      this.#onMessage(String.fromCharCode(this.#messageHeader[0]!), Buffer.from(payload))
    }
    if (!this.#inBody) this.#messageHeaderFilled = 0
  }

  #readBody(chunk: Buffer, at: number): number {
    const take = Math.min(this.#left, chunk.length - at)
    this.copyHandler!.body(chunk, at, at + take)
    this.#left -= take
    if (this.#left === 0) {
      this.#inBody = false
      this.#messageHeaderFilled = 0
    }
    return at + take
  }
}
