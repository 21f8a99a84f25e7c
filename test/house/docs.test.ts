import { existsSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { commands } from '../../src/commands/registry.js'
import { sourcePages } from '../docs/pages.js'
import { filesIn } from './source-files.js'

const ROOT = resolve(import.meta.dirname, '../..')
const read = (path: string): string => readFileSync(resolve(ROOT, path), 'utf8')

describe('the pages that are made', async () => {
  // Those of the catalog: test/sql/schema.test.ts, where a server runs.
  const pages = Object.entries(await sourcePages())

  test.each(pages)('%s is what "npm run docs" makes now', (path, text) => {
    expect(read(path)).toBe(text)
  })

  test('say of every command that ends in a way of its own how it ends', () => {
    const [head] = read('docs/reference/commands.md').split('\n## ')
    const own = commands.filter(({ failureExitCode }) => failureExitCode !== undefined)
    expect(own.map(({ name }) => name)).toEqual(['check', 'fetch-wal'])
    for (const { name, failureExitCode } of own) expect(head).toContain(`\`${name}\` with ${failureExitCode}`)
    expect(head).toContain(
      '| [status](#postbox-status) | 0 all is well, 3 there are warnings, 4 something is critical;',
    )
    expect(head).toContain('255 anything else')
  })

  test('say of every error where it comes from', () => {
    const sections = read('docs/errors.md').split(/^#{1,2} /m)
    const silent = sections.filter((one) => /pass by itself\.\n/.test(one) && !/\]\(\.\.\/s|#sqlstates/.test(one))
    expect(silent.map((one) => one.split('\n')[0])).toEqual([])
    expect(sections.length).toBeGreaterThan(60)
  })
})

test('every link within the project leads to a file that is there, and to a heading of it', () => {
  const pages = [
    ...filesIn('docs').filter(({ path }) => path.endsWith('.md')),
    { path: 'README.md', text: read('README.md') },
  ]
  const broken = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, link]) => link!)
      .filter((link) => !/^[a-z]+:/.test(link) && !leadsSomewhere(path, link))
      .map((link) => `${path}: ${link}`),
  )
  expect(broken).toEqual([])
})

function leadsSomewhere(from: string, link: string): boolean {
  const [file, heading] = link.split('#')
  const target = file === '' ? from : resolve(ROOT, dirname(from), file!)
  if (!existsSync(resolve(ROOT, target))) return false
  return heading === undefined || headings(readFileSync(resolve(ROOT, target), 'utf8')).includes(heading)
}

/** As GitHub names them. */
const headings = (text: string): string[] =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, one]) =>
    one!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )

test('the page on monitoring names every way to watch, and first that a dead worker tells nobody', () => {
  const page = read('docs/how-to/monitoring.md')
  const [, first] = page.split('\n\n')
  expect(first).toMatch(/^\*\*A dead worker tells nobody\.\*\* .*from outside/)
  for (const way of [
    'backup.checks',
    'postbox check',
    'LISTEN postbox_checks',
    "'webhook_url'",
    '/metrics',
    '](../prometheus-rules.yaml)',
    '](../grafana-dashboard.json)',
    'postbox status',
    '](../../README.md#a-page)',
  ]) {
    expect(page).toContain(way)
  }
  // It tries once what is needed, and says nothing of what was stored.
  expect(page).not.toContain('doctor --json')
})
