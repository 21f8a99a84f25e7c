import { expect, it } from 'vitest'
import { sources } from './source-files.js'

// process.env, process['env'], const { env } = process, import { env } from 'node:process'
const READS =
  /process\s*(\?\.|\.)\s*env\b|process\s*\[\s*['"`]env|\{[^}]*\benv\b[^}]*\}\s*=\s*process\b|from\s+['"](node:)?process['"]/

it('src/config.ts alone reads the environment', () => {
  const readers = sources().filter(({ text }) => READS.test(text))
  expect(readers.map(({ path }) => path)).toEqual(['src/config.ts'])
})

it.each([
  ['const x = process.env.HOME', true],
  [`const x = process['env']`, true],
  ['const { argv, env } = process', true],
  [`import { env } from 'node:process'`, true],
  ['const { argv } = process; const env = {}', false],
  ['process.execve(program, args, env)', false],
])('the rule judges %s right', (text, reads) => {
  expect(READS.test(text)).toBe(reads)
})
