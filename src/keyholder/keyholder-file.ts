import { isMap, isScalar, LineCounter, parseDocument, type Document } from 'yaml'
import { z } from 'zod'
import { checkServerName } from '../box/server-name.js'
import { PostboxError } from '../errors.js'
import { parseBytes, parseDuration } from '../units.js'
import { StatusSection, type StatusSettings } from './fleet/status-settings.js'
import { RetentionSchema, type Retention } from './prune/retention-schema.js'
import { defaultMaxPartBytes, longestLifeSeconds } from './sign.js'
import { maxObjectBytes } from './sign-policy.js'

/** A server that the issuer knows. */
export interface KnownServer {
  server: string
  /** SHA-256 of its token */
  tokenSha256: Buffer
  grantLifeSeconds: number
  maxPartBytes: number
}

/** A field whose text is read by `parse`, with the hint of its error as the complaint. */
const readBy = <T>(parse: (text: string) => T) =>
  z.union([z.string(), z.number()]).transform((value, context): T => {
    try {
      return parse(String(value))
    } catch (error) {
      const said = error instanceof PostboxError ? `${error.message}. ${error.hint}` : String(error)
      context.addIssue({ code: 'custom', message: said })
      return z.NEVER
    }
  })

const Server = z
  .strictObject({
    token_sha256: z
      .string({ error: 'is missing or not text' })
      .regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits in lower case, as "postbox issuer --new-token" prints')
      .optional(),
    grant_life: readBy(parseDuration)
      .refine((seconds) => seconds <= longestLifeSeconds, 'must be 7d or less')
      .default(12 * 3600),
    max_part_bytes: readBy(parseBytes)
      .refine((bytes) => bytes <= maxObjectBytes, 'must be 5GiB or less')
      .default(defaultMaxPartBytes),
    retention: RetentionSchema.optional(),
  })
  // Whose grants are made by hand has no token, and may have a retention.
  .refine(({ token_sha256, retention }) => token_sha256 !== undefined || retention !== undefined, {
    error: 'is missing or not text',
    path: ['token_sha256'],
  })

const KeyholderFile = z.strictObject({
  servers: z.record(z.string().refine(isServerName), Server, {
    error: ({ code }) =>
      code === 'invalid_key' ? 'is not a server name' : 'must name each server, with its token_sha256 below it',
  }),
  status: StatusSection.prefault({}),
})

/** The servers of keyholder.yaml that have a token. Throws `config_invalid` naming the file, the place and what is wrong. */
export function parseKeyholderFile(path: string, text: string): KnownServer[] {
  const servers = Object.entries(parseFile(path, text).servers).flatMap(([server, entry]): KnownServer[] => {
    const { token_sha256: hash, grant_life: grantLifeSeconds, max_part_bytes: maxPartBytes } = entry
    return hash === undefined ? [] : [{ server, tokenSha256: Buffer.from(hash, 'hex'), grantLifeSeconds, maxPartBytes }]
  })
  checkTokensDiffer(path, servers)
  return servers
}

/** The retention of each server of keyholder.yaml that has one. Throws as parseKeyholderFile() does. */
export function parseRetentions(path: string, text: string): Map<string, Retention> {
  const entries = Object.entries(parseFile(path, text).servers)
  return new Map(entries.flatMap(([server, { retention }]) => (retention ? [[server, retention] as const] : [])))
}

/** All servers of keyholder.yaml, and what it says of `postbox status`. Throws as parseKeyholderFile() does. */
export function parseStatusSettings(path: string, text: string): { servers: string[]; settings: StatusSettings } {
  const { servers, status } = parseFile(path, text)
  return { servers: Object.keys(servers), settings: status }
}

function parseFile(path: string, text: string): z.infer<typeof KeyholderFile> {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const broken = document.errors[0]
  if (broken) throw invalid(path, lines.linePos(broken.pos[0]).line, broken.message)
  const parsed = KeyholderFile.safeParse(document.toJS() ?? {})
  if (parsed.success) return parsed.data
  const { path: where, message } = parsed.error.issues[0]!
  throw invalid(path, lineOf(document, lines, where), [where.join('.'), message].filter(Boolean).join(': '))
}

/** One token for two servers would give the one the other's rights. */
function checkTokensDiffer(path: string, servers: readonly KnownServer[]): void {
  const owners = new Map<string, string>()
  for (const { server, tokenSha256 } of servers) {
    const other = owners.get(tokenSha256.toString('hex'))
    if (other !== undefined) throw invalid(path, null, `servers ${other} and ${server} have the same token`)
    owners.set(tokenSha256.toString('hex'), server)
  }
}

/** The line of the deepest part of `where` that the file has. */
function lineOf(document: Document, lines: LineCounter, where: readonly PropertyKey[]): number | null {
  for (let length = where.length; length > 0; length--) {
    const parent = document.getIn(where.slice(0, length - 1), true)
    const pair = isMap(parent)
      ? parent.items.find(({ key }) => isScalar(key) && String(key.value) === where[length - 1])
      : undefined
    if (pair && isScalar(pair.key) && pair.key.range) return lines.linePos(pair.key.range[0]).line
  }
  return null
}

function isServerName(name: string): boolean {
  try {
    return checkServerName(name) === name
  } catch {
    return false
  }
}

function invalid(path: string, line: number | null, problem: string): PostboxError {
  return new PostboxError(
    'config_invalid',
    `${path}${line === null ? '' : `, line ${line}`}: ${problem}`,
    'Run "postbox issuer --new-token NAME" to see how an entry looks.',
  )
}
