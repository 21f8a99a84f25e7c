import { html, written, type Html } from '../../html/html.js'
import { moment } from '../../html/moment.js'
import { formatAge } from '../../units.js'

/** Milliseconds since 1970 for people, in UTC: `2026-11-22 10:00:05`. */
export const inUtc = (ms: number): string => moment(new Date(ms).toISOString())

/** The time of a day in UTC: `10:00:05`. */
export const clock = (ms: number): string => inUtc(ms).slice(11)

/** How long ago a moment is, or how far ahead; the moment itself for who points at it. */
export function ago(ms: number, now: number): Html {
  const seconds = (now - ms) / 1000
  const words = seconds >= 0 ? `${formatAge(seconds)} ago` : `in ${formatAge(-seconds)}`
  return html`<time class="together" datetime="${new Date(ms).toISOString()}" title="${inUtc(ms)} UTC">${words}</time>`
}

/** The same in one unit, where space is dear. */
export function roughlyAgo(ms: number, now: number): Html {
  const seconds = (now - ms) / 1000
  const words = formatAge(Math.abs(seconds)).split(' ').slice(0, 2).join(' ')
  const said = seconds >= 0 ? `${words} ago` : `in ${words}`
  return html`<time class="together" datetime="${new Date(ms).toISOString()}" title="${inUtc(ms)} UTC">${said}</time>`
}

/** A moment to the minute, and how long ago that is. */
export const when = (ms: number, now: number): Html =>
  html`<span class="together">${inUtc(ms).slice(0, 16)}</span> <span class="quiet">${roughlyAgo(ms, now)}</span>`

/** How long something took: `45 s`, `3 min 47 s`, `2 h 5 min`. */
export function lasted(seconds: number): string {
  const whole = Math.round(seconds)
  const rest = whole % 60
  if (whole < 60 || whole >= 3600) return formatAge(whole)
  return rest === 0 ? `${whole / 60} min` : `${Math.floor(whole / 60)} min ${rest} s`
}

/** A second line of a cell, less loud. */
export const more = (text: Html | string): Html => html`<span class="more">${text}</span>`

/** What a person wrote to find it again. */
export const label = (text: string | null): Html | null => (text === null || text === '' ? null : more(written(text)))

/** A length of time to the tenth, where it is short. */
export const brief = (seconds: number): string => (seconds < 10 ? `${seconds.toFixed(1)} s` : formatAge(seconds))

export const kindInWords = { base: 'base backup', dump: 'dump' } as const

export const LEVELS = { ok: 'ok', warn: 'warning', crit: 'critical' } as const

/** A state by a sign, a word and a colour. */
export function badge(level: keyof typeof LEVELS, words: string = LEVELS[level]): Html {
  const sign = { ok: '✓', warn: '!', crit: '✕' }[level]
  return html`<span class="badge ${level}"><span aria-hidden="true">${sign}</span> ${words}</span>`
}
