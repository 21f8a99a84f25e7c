import { rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'

/** What the prefetcher says to a name. */
export interface WalAnswer {
  /** file of the spool to take; null when the archive surely does not have what was asked for */
  take: string | null
  warnings: string[]
}

type Answer = (name: string) => Promise<WalAnswer>

/** More than any file's name has. */
const MAX_NAME_BYTES = 100
/** fetch-wal.pl gives up when it hears nothing for 30 s. */
const WAITING_MS = 5_000

/**
 * The prefetcher's socket, at which fetch-wal.pl asks for what is not in the spool: one line with a name, then lines of
 * `waiting`, `warning TEXT`, and last either `take FILE` or `absent`.
 */
export class WalAnswers {
  readonly #sockets = new Set<Socket>()

  private constructor(readonly server: Server) {}

  /**
   * Listens; null where no socket can be made. A path that a dead process left is taken over. Whoever opens it closes it.
   *
   * `answer` may reject: then the connection ends without an answer, and Node finds out again and says why.
   */
  static async open(path: string, answer: Answer): Promise<WalAnswers | null> {
    await rm(path, { force: true })
    const server = createServer()
    const listening = new Promise<boolean>((resolve) => {
      server.once('error', () => {
        resolve(false)
      })
      server.listen(path, () => {
        resolve(true)
      })
    })
    if (!(await listening)) return null
    const answers = new WalAnswers(server)
    server.on('connection', (socket) => {
      answers.#serve(socket, answer)
    })
    return answers
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.server.close(resolve))
  }

  #serve(socket: Socket, answer: Answer): void {
    this.#sockets.add(socket)
    const waiting = setInterval(() => socket.write('waiting\n'), WAITING_MS)
    let text = ''
    socket.setEncoding('utf8')
    socket.on('error', () => undefined)
    socket.on('close', () => {
      clearInterval(waiting)
      this.#sockets.delete(socket)
    })
    socket.on('data', (piece: string) => {
      text += piece
      const name = /^([^\n]*)\n/.exec(text)?.[1]
      if (name === undefined && text.length <= MAX_NAME_BYTES) return
      socket.removeAllListeners('data').resume()
      if (name === undefined) return void socket.destroy()
      answer(name).then(
        (said) => socket.end(format(said)),
        () => socket.destroy(),
      )
    })
  }
}

function format({ take, warnings }: WalAnswer): string {
  const lines = warnings.map((text) => `warning ${text.replaceAll('\n', ' ')}\n`)
  return [...lines, take === null ? 'absent\n' : `take ${take}\n`].join('')
}
