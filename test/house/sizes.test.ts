import { basename } from 'node:path'
import { expect, it } from 'vitest'
import { filesIn } from './source-files.js'

const MAX_LINES = 300
const NAMES_THAT_SAY_NOTHING =
  /^(utils?|helpers?|common|managers?|types|misc|shared)\b|[-.](utils?|helpers?|managers?)\./

// What a test writes and compares is nobody's to read from end to end.
const WRITTEN_BY_TESTS = ['test/sql/schema.sql']

const files = filesIn('src', 'sql', 'migrations', 'test').filter(
  ({ path }) => /\.(ts|sql|sh|pl)$/.test(path) && !WRITTEN_BY_TESTS.includes(path),
)

it(`no file has more than ${MAX_LINES} lines`, () => {
  const long = files.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }))
  expect(long.filter(({ lines }) => lines > MAX_LINES)).toEqual([])
  expect(files.length).toBeGreaterThan(100)
})

it('every file is named for its one idea', () => {
  expect(files.map(({ path }) => path).filter((path) => NAMES_THAT_SAY_NOTHING.test(basename(path)))).toEqual([])
})

it('files of TypeScript are in kebab-case, files of SQL begin with their place in the order', () => {
  const typescript = files.filter(({ path }) => path.endsWith('.ts')).map(({ path }) => path)
  expect(typescript.filter((path) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.ts$/.test(basename(path)))).toEqual([])
  const sql = files.filter(({ path }) => path.endsWith('.sql')).map(({ path }) => path)
  expect(sql.filter((path) => !/^\d{2,4}[-_][a-z0-9]+([-_][a-z0-9]+)*\.sql$/.test(basename(path)))).toEqual([])
})
