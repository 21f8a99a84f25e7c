import { Socket } from 'node:net'

/** What one read of the socket brings at most; frame buffers have room for it (FRAME_SLACK_BYTES). */
const READ_BYTES = 256 * 1024

/** Opens the socket of a connection that receives gigabytes. */
export class ReceiveSocket {
  /** Called with each read, whose bytes are overwritten by the next one. Null: they are emitted as usual, copied. */
  onRead: ((chunk: Buffer) => void) | null = null

  /** @param readBytes what one read may bring; less where there are many such sockets */
  constructor(readonly readBytes = READ_BYTES) {}

  /**
   * For pg's `stream` option: a socket that reads into one buffer of its own, where Node would make one of 64 KiB for
   * each read. With TLS it is a plain one, since TLS reads from it by other ways; its bytes are emitted as `data`.
   */
  open({ ssl }: { ssl?: unknown }): Socket {
    if (ssl) return new Socket()
    const onread = {
      buffer: new Uint8Array(this.readBytes),
      callback: (bytes: number, { buffer }: Uint8Array) => {
        const chunk = Buffer.from(buffer, 0, bytes)
        if (this.onRead) this.onRead(chunk)
        else socket.emit('data', Buffer.from(chunk))
        return true
      },
    }
    // The types know it of connect() alone.
    const socket = new Socket({ onread } as object)
    return socket
  }
}
