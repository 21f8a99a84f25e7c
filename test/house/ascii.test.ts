import { expect, it } from 'vitest'
import { filesIn } from './source-files.js'

it('SQL is plain ASCII, so that it can be installed in a database of any encoding', () => {
  const files = filesIn('sql', 'migrations').filter(({ path }) => path.endsWith('.sql'))
  // eslint-disable-next-line no-control-regex
  expect(files.filter(({ text }) => /[^\x00-\x7f]/.test(text)).map(({ path }) => path)).toEqual([])
  expect(files.length).toBeGreaterThan(30)
})
