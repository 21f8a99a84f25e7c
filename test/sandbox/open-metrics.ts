/** A sample of a scrape. */
export interface ScrapedSample {
  name: string
  labels: Record<string, string>
  value: number
}

export interface Family {
  name: string
  type: string
  help: string
  samples: ScrapedSample[]
  /** every name that a sample of this family may have */
  sampleNames: string[]
}

const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  gauge: [''],
  counter: ['_total', '_created'],
  histogram: ['_bucket', '_sum', '_count', '_created'],
  summary: ['', '_sum', '_count', '_created'],
  info: ['_info'],
}
const UNITS = /_(seconds|bytes|ratio|info|total)$/

/**
 * Reads OpenMetrics text and throws for what its grammar does not allow: https://prometheus.io/docs/specs/om/open_metrics_spec/.
 *
 * Our own names also keep Prometheus's conventions: a time or a size ends in its unit.
 */
export function parseOpenMetrics(text: string): Map<string, Family> {
  const families = new Map<string, Family>()
  const seen = new Set<string>()
  const lines = text.split('\n')
  if (lines.pop() !== '' || lines.pop() !== '# EOF')
    throw new Error('the text does not end in "# EOF" and a line break')
  let current = null as Family | null
  for (const line of lines) {
    const meta = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line)
    if (meta) {
      const [, keyword, name, rest] = meta as unknown as [string, 'HELP' | 'TYPE', string, string]
      if (current?.name !== name) {
        if (families.has(name)) throw new Error(`the family ${name} is interleaved with another`)
        current = { name, type: 'unknown', help: '', samples: [], sampleNames: [] }
        families.set(name, current)
      }
      if (keyword === 'HELP') current.help = rest
      else {
        if (!(rest in SUFFIXES)) throw new Error(`${rest} is no type: ${line}`)
        current.type = rest
        current.sampleNames = SUFFIXES[rest]!.map((suffix) => name + suffix)
      }
      continue
    }
    if (!current) throw new Error(`a sample without its family: ${line}`)
    const sample = parseSample(line)
    if (!current.sampleNames.includes(sample.name))
      throw new Error(`${sample.name} is no sample of the ${current.type} ${current.name}`)
    const identity = `${sample.name}${JSON.stringify(Object.entries(sample.labels).sort())}`
    if (seen.has(identity)) throw new Error(`twice: ${line}`)
    seen.add(identity)
    current.samples.push(sample)
  }
  for (const family of families.values()) checkFamily(family)
  return families
}

function parseSample(line: string): ScrapedSample {
  const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf)|\+Inf|NaN|Nan)$/i.exec(
    line,
  )
  if (!match) throw new Error(`no sample: ${line}`)
  const labels: Record<string, string> = {}
  let rest = match[2] ?? ''
  while (rest !== '') {
    const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,(?=.)|$)/.exec(rest)
    if (!label) throw new Error(`no label: ${line}`)
    if (label[1]! in labels) throw new Error(`a label twice: ${line}`)
    labels[label[1]!] = label[2]!
    rest = rest.slice(label[0].length)
  }
  return { name: match[1]!, labels, value: Number(match[3]!.replace(/Inf$/i, 'Infinity')) }
}

function checkFamily({ name, type, help, samples }: Family): void {
  if (help === '' || type === 'unknown') throw new Error(`${name} has no help or no type`)
  if (type === 'counter' && samples.some(({ value }) => !(value >= 0)))
    throw new Error(`the counter ${name} is below 0`)
  if (type === 'histogram') checkHistogram(name, samples)
  const isTime = /^(when|how long|age)\b/i.test(help)
  const isSize = /^(bytes|wal that)/i.test(help)
  if (name.startsWith('postbox_') && (isTime || isSize) && !UNITS.test(name)) throw new Error(`${name} names no unit`)
}

function checkHistogram(name: string, samples: ScrapedSample[]): void {
  const series = Map.groupBy(samples, ({ labels }) =>
    JSON.stringify(
      Object.entries(labels)
        .filter(([label]) => label !== 'le')
        .sort(),
    ),
  )
  for (const one of series.values()) {
    const buckets = one.filter((sample) => sample.name === `${name}_bucket`)
    const bounds = buckets.map(({ labels }) => Number(labels['le']!.replace('+Inf', 'Infinity')))
    const values = buckets.map(({ value }) => value)
    const rising = (list: number[]) => list.every((value, at) => at === 0 || value >= list[at - 1]!)
    if (!rising(bounds) || !rising(values) || bounds.at(-1) !== Infinity)
      throw new Error(`the buckets of ${name} do not rise to +Inf`)
    const count = one.find((sample) => sample.name === `${name}_count`)
    if (count?.value !== values.at(-1)) throw new Error(`${name}_count is not the last bucket`)
  }
}
