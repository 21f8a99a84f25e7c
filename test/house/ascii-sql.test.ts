import { expect, it } from 'vitest'
import { filesIn } from './source-files.js'

it('what is installed in a database is plain ASCII, so that one of any encoding takes it', () => {
  const files = filesIn('sql', 'migrations').filter(({ path }) => path.endsWith('.sql'))
  // eslint-disable-next-line no-control-regex
  expect(files.filter(({ text }) => /[^\u0000-\u007f]/.test(text)).map(({ path }) => path)).toEqual([])
  expect(files.length).toBeGreaterThan(20)
})
