import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { commands } from '../../src/commands/registry.js'
import { variables } from '../../src/variables.js'
import { filesIn } from './source-files.js'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

test('the README lists every variable of the environment as the code has it', () => {
  for (const { name, side, meaning, default: standard } of variables) {
    expect(readme).toContain(`| \`${name}\` | ${side} | ${meaning} | ${standard ?? ''} |`)
  }
})

test('documents, units and the compose file name no variable that the code does not read', () => {
  const known = new Set<string>(variables.map(({ name }) => name))
  for (const { path, text } of filesIn('docs', 'docker')) {
    const unknown = text.match(/(?<![$\w{])POSTBOX_[A-Z0-9_]+/g)?.filter((name) => !known.has(name)) ?? []
    expect([path, unknown]).toEqual([path, []])
  }
})

test('the README shows every command that a person calls', () => {
  for (const { name } of commands.filter((command) => command.name !== 'fetch-wal')) {
    expect(readme).toContain(`postbox ${name}`)
  }
})
