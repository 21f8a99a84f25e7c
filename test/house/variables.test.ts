import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { variables } from '../../src/config.js'

test('docs/variables.md lists every variable as the code has it, in the same order', () => {
  const page = readFileSync(new URL('../../docs/variables.md', import.meta.url), 'utf8')
  const cells = page
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split('|').map((cell) => cell.trim()))
  expect(cells.map(([, name, side, meaning, usual]) => ({ name, side, meaning, usual }))).toEqual(
    variables.map((one) => ({
      name: `\`${one.name}\``,
      side: one.side,
      meaning: one.meaning,
      usual: one.default ?? '-',
    })),
  )
})
