import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MessageReader, type CopyHandler } from '../../src/source/message-reader.js'

type Message = { type: string; payload: Buffer }

const messages = fc.array(
  fc.record({
    type: fc.constantFrom('T', 'D', 'Z', 'N', 'd'),
    payload: fc.uint8Array({ maxLength: 700 }).map((bytes) => Buffer.from(bytes)),
  }),
  { maxLength: 12 },
)

function encode({ type, payload }: Message): Buffer {
  const header = Buffer.alloc(5)
  header.write(type, 0, 'latin1')
  header.writeUInt32BE(payload.length + 4, 1)
  return Buffer.concat([header, payload])
}

/** Gathers each CopyData message again: header of 3 bytes, or the whole when it begins with an even byte. */
class Gatherer implements CopyHandler {
  readonly seen: Message[]
  #current: Buffer[] = []
  #left = 0

  constructor(seen: Message[]) {
    this.seen = seen
  }

  headerBytes(kind: number, payloadBytes: number): number {
    return kind % 2 === 0 ? payloadBytes : 3
  }

  header(header: Buffer, bodyBytes: number): void {
    this.#current = [Buffer.from(header)]
    this.#left = bodyBytes
    this.#endIfWhole()
  }

  body(read: Buffer, from: number, to: number): void {
    this.#current.push(Buffer.from(read.subarray(from, to)))
    this.#left -= to - from
    this.#endIfWhole()
  }

  readEnd(): void {
    // nothing to pause
  }

  #endIfWhole(): void {
    if (this.#left === 0) this.seen.push({ type: 'd', payload: Buffer.concat(this.#current) })
  }
}

describe('the message reader', () => {
  test('gives the same messages however the stream is cut into reads', () => {
    fc.assert(
      fc.property(messages, fc.array(fc.integer({ min: 1, max: 300 })), (sent, cuts) => {
        const seen: Message[] = []
        const reader = new MessageReader((type, payload) => seen.push({ type, payload }))
        reader.copyHandler = new Gatherer(seen)
        const stream = Buffer.concat(sent.map(encode))
        let at = 0
        for (const cut of [...cuts, stream.length]) {
          // A fresh copy each time, overwritten afterwards as a driver's buffer may be.
          const chunk = Buffer.from(stream.subarray(at, at + cut))
          if (chunk.length > 0) reader.read(chunk)
          chunk.fill(0xee)
          at += cut
        }
        expect(seen).toEqual(sent)
      }),
    )
  })
})
