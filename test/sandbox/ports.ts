import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/**
 * A TCP port of the loopback address that nobody listens on.
 *
 * From below the range that the kernel gives to outgoing connections, so that it stays free while its server is down
 * for a restart. Another process may still be quicker: retry on "address already in use".
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(12_000, 32_000)
    if (await free(port)) return port
  }
}

function free(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
