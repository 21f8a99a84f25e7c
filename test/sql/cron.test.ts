import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { nextRun } from '../../src/worker/next-run.js'
import { installedServer } from './installed-server.js'

const AFTER = new Date('2026-11-25T00:00:00Z')

function workerTakes(cron: string): boolean {
  try {
    nextRun({ cron, time_zone: 'UTC' }, AFTER)
    return true
  } catch {
    return false
  }
}

const days = ['sun', 'MON', 'tue', 'Wed', 'thu', 'fri', 'sat']
const months = ['jan', 'FEB', 'Mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']

/** Mostly right, and wrong in every way that a hand can write it. */
function field(highest: number, names: string[]): fc.Arbitrary<string> {
  const number = fc.integer({ min: 0, max: highest + 2 }).map(String)
  const word = fc.oneof(
    { weight: 6, arbitrary: number },
    { weight: 1, arbitrary: fc.constantFrom('00', '07', '031', '', '99999999999999999999') },
    ...(names.length ? [{ weight: 3, arbitrary: fc.constantFrom(...names) }] : []),
    { weight: 1, arbitrary: fc.constantFrom('mon', 'jan', 'foo', 'sunday') },
  )
  const step = fc.option(fc.integer({ min: 0, max: highest + 3 }), { nil: null })
  const suffix = (text: string, by: number | null) => (by === null ? text : `${text}/${by}`)
  const range = fc.tuple(word, word, step).map(([from, to, by]) => suffix(`${from}-${to}`, by))
  const star = step.map((by) => suffix('*', by))
  const noise = fc.string({ unit: fc.constantFrom(...'0123456789*,-/monja'), minLength: 1, maxLength: 6 })
  const item = fc.oneof(
    { weight: 4, arbitrary: word },
    { weight: 4, arbitrary: range },
    { weight: 4, arbitrary: star },
    { weight: 1, arbitrary: fc.tuple(word, step).map(([one, by]) => suffix(one, by)) },
    { weight: 1, arbitrary: noise },
  )
  return fc.oneof(
    { weight: 3, arbitrary: fc.constant('*') },
    { weight: 4, arbitrary: item },
    { weight: 2, arbitrary: fc.array(item, { minLength: 2, maxLength: 4 }).map((items) => items.join(',')) },
  )
}

const line = fc
  .tuple(
    field(59, []),
    field(23, []),
    field(31, []),
    field(12, months),
    field(7, days),
    fc.constantFrom(' ', '  ', '\t'),
  )
  .map(([minute, hour, day, month, weekday, blank]) => [minute, hour, day, month, weekday].join(blank))

describe('cron lines', () => {
  const catalog = installedServer(18)

  test('the database takes those that the worker can compute, and no other', async () => {
    const lines = [
      ...fc.sample(line, { numRuns: 6000, seed: Number(process.env['CRON_SEED'] ?? 20261125) }),
      ...[
        '0 0 29 2 *',
        '0 0 30 2 *',
        '0 0 31 4,6,9,11 *',
        '0 0 31 */2 *',
        '0 0 30 2 mon',
        '* * * *',
        '* * * * * *',
        '',
      ],
    ]
    const rows = await catalog.rows<{ cron: string; problem: string | null }>(
      'select c.cron, backup._cron_problem(c.cron) as problem from unnest($1::text[]) c (cron)',
      [lines],
    )
    const disagreeing = rows.filter(({ cron, problem }) => (problem === null) !== workerTakes(cron))
    expect(disagreeing.slice(0, 10)).toEqual([])
    // Neither side of the comparison is empty.
    expect(rows.filter(({ problem }) => problem === null).length).toBeGreaterThan(500)
    expect(rows.filter(({ problem }) => problem !== null).length).toBeGreaterThan(500)
  })

  test.each([
    '@daily',
    '0 0 L * *',
    '0 0 * * 5#2',
    '0 0 15W * *',
    '0 0 1 * +mon',
    '? ? * * *',
    '0 0 * *\n*',
    '* * * * *; --',
  ])('what only some programs understand is refused: %j', async (cron) => {
    expect(await catalog.value('select backup._cron_problem($1)', [cron])).toMatch(
      /it holds a character|fields and not 5|is no/,
    )
  })

  test('every time zone that the database takes is known to the worker', async () => {
    const zones = await catalog.rows<{ name: string }>(
      'select z.name from pg_timezone_names z where backup._is_time_zone(z.name)',
    )
    expect(zones.length).toBeGreaterThan(300)
    const unknown = zones.filter(({ name }) => {
      try {
        nextRun({ cron: '0 0 * * *', time_zone: name }, AFTER)
        return false
      } catch {
        return true
      }
    })
    expect(unknown).toEqual([])
  })
})
