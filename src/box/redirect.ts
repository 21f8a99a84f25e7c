import { isIPv4 } from 'node:net'

/**
 * Whether a form may be sent again to where a 307 points. The form carries the grant, so it goes only over the same
 * scheme and to the same provider: the same domain, or loopback to loopback.
 */
export function sameProvider(from: string, to: string): boolean {
  if (!URL.canParse(to, from)) return false
  const [a, b] = [new URL(from), new URL(to, from)]
  if (a.protocol !== b.protocol || b.username !== '' || b.password !== '') return false
  if (a.hostname === b.hostname || (isLoopback(a.hostname) && isLoopback(b.hostname))) return true
  if (isAddress(a.hostname) || isAddress(b.hostname)) return false
  return sharesDomain(a.hostname.split('.').reverse(), b.hostname.split('.').reverse())
}

/**
 * Shares at least `example.com`, or three labels below a country (`example.co.uk`): without a list of public suffixes
 * the doubtful are taken for strangers.
 */
function sharesDomain(a: string[], b: string[]): boolean {
  let shared = 0
  while (shared < a.length && a[shared] === b[shared]) shared++
  return shared >= (a[0]!.length === 2 ? 3 : 2)
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '[::1]' || (isIPv4(host) && host.startsWith('127.'))
const isAddress = (host: string): boolean => isIPv4(host) || host.startsWith('[')
