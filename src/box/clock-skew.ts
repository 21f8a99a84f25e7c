import type { Answer } from './answer.js'

/** How far the box's clock is ahead of ours by its Date header (to the second), or null without one. */
export function clockSkewMs({ headers }: Answer, now: Date): number | null {
  const date = Date.parse(headers['date'] ?? '')
  return Number.isNaN(date) ? null : date - now.getTime()
}

/** What the clocks have to do with a grant that the box calls expired: a sentence for a hint, or nothing. */
export function describeSkew(answer: Answer, expiresAt: string, now: Date): string {
  const skew = clockSkewMs(answer, now)
  if (skew === null) return ''
  if (Math.abs(skew) >= 60_000) {
    return ` The box's clock is ${describeMs(Math.abs(skew))} ${skew > 0 ? 'ahead of' : 'behind'} this server's.`
  }
  if (Date.parse(expiresAt) > now.getTime() + skew) {
    return ' By both clocks the grant should still hold: this service takes a signature for a shorter time, so shorten grant_life.'
  }
  return ''
}

function describeMs(ms: number): string {
  const minutes = Math.round(ms / 60_000)
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`
}
