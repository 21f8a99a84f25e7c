import { roundBytes } from './round-bytes.js'

/** How far a transfer is: `1.2 GiB of 2.9 GiB (41 %), 120 MiB/s`; less where less is known. */
export function describeTransfer(doneBytes: number, totalBytes: number | null, bytesPerSecond: number | null): string {
  const done = percent(doneBytes, totalBytes)
  const size =
    done === null ? roundBytes(doneBytes) : `${roundBytes(doneBytes)} of ${roundBytes(totalBytes!)} (${done} %)`
  return bytesPerSecond === null ? size : `${size}, ${roundBytes(bytesPerSecond)}/s`
}

/** Whole percents, 100 at most: a total may be an estimate. Null where there is none. */
export function percent(doneBytes: number, totalBytes: number | null): number | null {
  return totalBytes === null ? null : Math.min(100, Math.floor((doneBytes / Math.max(1, totalBytes)) * 100))
}

/** A bar of `width` characters. */
export function bar(percents: number, width: number): string {
  const full = Math.round((percents / 100) * width)
  return `[${'#'.repeat(full)}${'-'.repeat(width - full)}]`
}

/** Seconds as a clock shows them: `4:05`, `1:02:03`. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  const two = (value: number) => String(value).padStart(2, '0')
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`
}
