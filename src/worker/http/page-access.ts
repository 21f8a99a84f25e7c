import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { isLoopback, type ListenAddress } from '../../observe/listen-address.js'
import type { Secret } from '../../secret.js'

const COOKIE = 'postbox_page'

/** Why somebody does not see the page: a name that stays, and what to do. */
export interface Refusal {
  status: 401 | 403
  name: 'page_token_wrong' | 'page_token_missing' | 'page_host_wrong' | 'page_elsewhere'
  text: string
}

export interface PageRequest {
  headers: IncomingHttpHeaders
  /** what stands in the address */
  token: string | undefined
}

/** Who may see the page: whoever has the token or, without one, whoever is on this machine. */
export class PageAccess {
  readonly #digest: Buffer | null
  readonly #cookie: string | null

  constructor(
    readonly listen: ListenAddress,
    token: Secret | null,
  ) {
    this.#digest = token && digestOf(token.reveal())
    // It opens the page as the token does, and does not tell it.
    this.#cookie = token && digestOf(`page cookie of ${token.reveal()}`).toString('hex')
  }

  /** Null when it may be shown. */
  refusal({ headers, token }: PageRequest): Refusal | null {
    if (!this.#digest) return this.#withoutToken(headers)
    const [scheme, bearer] = (headers.authorization ?? '').split(' ')
    const shown = token ?? (scheme?.toLowerCase() === 'bearer' ? bearer : undefined)
    if (shown !== undefined) return timingSafeEqual(digestOf(shown), this.#digest) ? null : WRONG_TOKEN
    const cookie = cookieOf(headers.cookie)
    const isKnown = cookie !== null && timingSafeEqual(digestOf(cookie), digestOf(this.#cookie!))
    return isKnown ? null : MISSING_TOKEN
  }

  /** For who has shown the token once; null where there is none. */
  setCookie(): string | null {
    return this.#cookie && `${COOKIE}=${this.#cookie}; Path=/; HttpOnly; SameSite=Strict; Max-Age=604800`
  }

  #withoutToken({ host = '' }: IncomingHttpHeaders): Refusal | null {
    if (!isLoopback(this.listen)) return ELSEWHERE
    // A name of somebody else's that leads here: a page of theirs could read this one (DNS rebinding).
    const name = (/^(\[[^\]]*\]|[^:]*)(:\d+)?$/.exec(host)?.[1] ?? '').toLowerCase().replace(/^\[(.*)\]$/, '$1')
    return name === this.listen.host.toLowerCase() || isLoopback({ host: name, port: 0 }) ? null : WRONG_HOST
  }
}

const digestOf = (text: string): Buffer => createHash('sha256').update(text).digest()

function cookieOf(header: string | undefined): string | null {
  const pairs = (header ?? '').split(';').map((one) => one.trim().split('='))
  return pairs.find(([name]) => name === COOKIE)?.[1] ?? null
}

const refusal = (status: Refusal['status'], name: Refusal['name'], ...lines: string[]): Refusal => ({
  status,
  name,
  text: `${[`${name}: ${lines[0]!}`, ...lines.slice(1)].join('\n')}\n`,
})

const MISSING_TOKEN = refusal(
  401,
  'page_token_missing',
  'this page opens with its token',
  'Paste /?token=… into the address bar once, or send "Authorization: Bearer …".',
  'The token is what POSTBOX_PAGE_TOKEN or POSTBOX_PAGE_TOKEN_FILE of the worker says.',
)
const WRONG_TOKEN = refusal(
  401,
  'page_token_wrong',
  'this is not the token of the page',
  'It is what POSTBOX_PAGE_TOKEN or POSTBOX_PAGE_TOKEN_FILE of the worker says.',
)
const ELSEWHERE = refusal(
  403,
  'page_elsewhere',
  'the worker listens where other machines can reach it, and the page has no token',
  'Set POSTBOX_PAGE_TOKEN or POSTBOX_PAGE_TOKEN_FILE, or let POSTBOX_LISTEN be 127.0.0.1:9187 and go there by ssh -L.',
  'Metrics are served here all the same.',
)
const WRONG_HOST = refusal(
  403,
  'page_host_wrong',
  'without a token the page opens under a name of this machine alone, such as localhost',
  'Open http://localhost with the port, or set POSTBOX_PAGE_TOKEN for another name.',
)
