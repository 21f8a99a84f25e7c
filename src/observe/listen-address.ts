import { PostboxError } from '../errors.js'

export interface ListenAddress {
  host: string
  port: number
}

/** Reads `127.0.0.1:8443`, `[::1]:8443` or `issuer.example.com:8443`. Throws `bad_argument`. */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (!match || port > 65535) {
    throw new PostboxError(
      'bad_argument',
      `"${text}" is no address to listen on`,
      'Write it as 127.0.0.1:8443, 0.0.0.0:8443 or [::]:8443.',
    )
  }
  return { host: (match[1] ?? match[2])!, port }
}

/** Whether only this machine can reach the address. */
export function isLoopback({ host }: ListenAddress): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}
