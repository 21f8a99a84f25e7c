import type { Metric, OpenMetricsContentType } from 'prom-client'
import type { HistogramSample, Reading } from './reading.js'

export interface MetricsText {
  contentType: string
  text: () => Promise<string>
}

/** OpenMetrics text of these and of what prom-client knows of the process. The library is loaded here, and nowhere before. */
export async function metricsText(readings: readonly Reading[]): Promise<MetricsText> {
  const { default: prom } = await import('prom-client')
  const registry = new prom.Registry<OpenMetricsContentType>()
  registry.setContentType(prom.Registry.OPENMETRICS_CONTENT_TYPE)
  prom.collectDefaultMetrics({ register: registry })
  for (const reading of readings) registry.registerMetric(asMetric(reading))
  return { contentType: registry.contentType, text: () => registry.metrics() }
}

/** Of a metric the registry wants its name, its type and get(); it takes the ending of a counter's name off, and puts it back. */
function asMetric(reading: Reading): Metric {
  const { help, type } = reading
  const metric = {
    name: reading.name,
    type,
    get: async () => ({ name: metric.name, help, type, values: await valuesOf(reading) }),
  }
  return metric as unknown as Metric
}

async function valuesOf(reading: Reading): Promise<object[]> {
  if (reading.type !== 'histogram') {
    return (await reading.read()).map(({ value, labels = {} }) => ({ value, labels }))
  }
  return reading.read().flatMap((sample) => histogramValues(reading.name, reading.bounds, sample))
}

function histogramValues(name: string, bounds: readonly number[], { labels, buckets, sum }: HistogramSample): object[] {
  let count = 0
  const cumulative = [...bounds, Infinity].map((bound, at) => {
    count += buckets[at] ?? 0
    const le = bound === Infinity ? '+Inf' : String(bound)
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: count }
  })
  return [
    ...cumulative,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ]
}
