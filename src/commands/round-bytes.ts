const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** A size for people, with three digits or so: `1.95 GiB`. */
export function roundBytes(bytes: number): string {
  let [value, unit] = [bytes, 0]
  while (value >= 1000 && unit < UNITS.length - 1) [value, unit] = [value / 1024, unit + 1]
  const digits = unit === 0 ? 0 : Math.max(0, 3 - String(Math.floor(value)).length)
  return `${value.toFixed(digits)} ${UNITS[unit]!}`
}
