import { expect, test } from 'vitest'
import { pgDumpCall, type PgDumpChoice } from '../../src/source/pg-dump-arguments.js'

const choice: PgDumpChoice = {
  ...{
    snapshot: '1-1',
    serverMajor: 15,
    encoding: 'UTF8',
    only: null,
    schemas: null,
    masked: false,
    rowSecurity: false,
  },
  tables: null,
  excluded: [{ schema: 'Odd', name: 'a\n"b"' }],
  emptied: [],
  copied: Array.from({ length: 200_000 }, (_, at) => ({ schema: 'app', name: `measurements_of_day_${at}` })),
}

test('any number of tables is named to a pg_dump that reads them from its stdin', () => {
  const { args, filter } = pgDumpCall('data', choice, 17)
  expect(args).toContain('--filter=-')
  expect(args.join(' ')).not.toContain('measurements')
  // Of names with marks a filter makes others.
  expect(args).toContain('--exclude-table="Odd"."a\n""b"""')
  expect(filter).toMatch(/^exclude table_data app\.\(measurements_of_day_0\|/)
  expect(filter).toContain('|measurements_of_day_199999)\n')
})

test('an older one gets them as arguments, or is told to be too old', () => {
  const { args, filter } = pgDumpCall('pre-data', choice, 16)
  expect({ filter, last: args.at(-1) }).toEqual({ filter: null, last: '--exclude-table="Odd"."a\n""b"""' })
  expect(() => pgDumpCall('data', choice, 16)).toThrow('too many tables')
  const few = { ...choice, copied: choice.copied.slice(0, 2) }
  expect(pgDumpCall('data', few, 16).args).toContain(
    '--exclude-table-data=app.(measurements_of_day_0|measurements_of_day_1)',
  )
})
