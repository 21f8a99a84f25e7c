import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { commands } from '../../src/commands/registry.js'
import { variables } from '../../src/variables.js'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

test('the README lists every variable of the environment as the code has it', () => {
  for (const { name, side, meaning, default: standard } of variables) {
    expect(readme).toContain(`| \`${name}\` | ${side} | ${meaning} | ${standard ?? ''} |`)
  }
})

test('the README shows every command that a person calls', () => {
  for (const { name } of commands.filter((command) => command.name !== 'fetch-wal')) {
    expect(readme).toContain(`postbox ${name}`)
  }
})
