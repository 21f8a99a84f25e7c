import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const page = new URL('../faults/README.md', import.meta.url)
const rows = readFileSync(page, 'utf8')
  .split('\n')
  .filter((line) => /^\| \d/.test(line))
  .map((line) => line.split('|').map((cell) => cell.trim()))

test('each of the 42 ways to lose data has its row, in order', () => {
  expect(rows.map(([, number]) => Number(number))).toEqual(Array.from({ length: 42 }, (_, index) => index + 1))
})

test('a row names tests that exist, or says why its class does not apply', () => {
  for (const [, number, name, account] of rows) {
    expect(name, number).not.toBe('')
    const files = [...account!.matchAll(/\]\(([^)]+)\)/g)].map(([, file]) => file!)
    for (const file of files) {
      expect(file).toMatch(/\.test\.ts$/)
      expect(existsSync(new URL(file, page)), file).toBe(true)
    }
    if (files.length === 0) expect(account!.length, number).toBeGreaterThan(20)
  }
})
