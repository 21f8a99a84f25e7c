import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  backupManifestKey,
  dumpManifestKey,
  dumpPartKey,
  dumpSqlKey,
  formatBackupId,
  historyKey,
  manifestKey,
  parseDumpManifestKey,
  parseHistoryKey,
  parseManifestKey,
  parseSegmentKey,
  parseTailKey,
  partKey,
  previousOfFirst,
  restoreNoteKey,
  segmentKey,
  sha12,
  tailKey,
} from '../../src/box/key-names.js'
import { accountOf } from '../../src/keyholder/key-account.js'
import { DumpedSlice, DumpedTable, DumpManifest } from '../../src/box/dump-manifest.js'
import { ArchiveEntry, Manifest } from '../../src/box/manifest.js'

const page = readFileSync(new URL('../../src/box/FORMAT.md', import.meta.url), 'utf8')
const home = { server: 'db1', systemIdentifier: '7300000000000000001' }
const hash = createHash('sha256').update('content').digest()
const backupId = '20261122T100000Z-3fa9'
const segment = { timeline: 10, start: 0x3000000n }
const PREVIOUS = '0123456789ab'

/** A real key with the words of FORMAT.md in place of its values. */
const described = (key: string): string =>
  key
    .replace(/^db1/, '<server>')
    .replace('7300000000000000001', '<system>')
    .replace(backupId, '<backup_id>')
    .replace('dump/<backup_id>', 'dump/<dump_id>')
    .replace('app.users/000003.000007-', '<schema>.<table>/<slice>.<n>-')
    .replace('16384/', '<oid>/')
    .replace('000007-', '<n>-')
    .replace('0000000A0000000000000003', '<segment>')
    .replace('0000000A', '<timeline>')
    .replace('0000000003000100-0000000003A0B0C0', '<from>-<to>')
    .replace('0123456789ab', '<previous>')
    .replace(sha12(hash), '<sha12>')

test.each([
  partKey(home, backupId, 'base', 7, hash),
  partKey(home, backupId, '16384', 7, hash),
  backupManifestKey(home, backupId, hash),
  manifestKey(home, backupId, hash),
  segmentKey(home, segment, 16 * 1024 ** 2, hash, PREVIOUS),
  tailKey(home, segment, 16 * 1024 ** 2, { from: 0x3000100n, to: 0x3a0b0c0n }, hash, PREVIOUS),
  historyKey(home, 10, hash),
  restoreNoteKey('db1', hash),
  dumpSqlKey(home, backupId, 'pre-data', 7, hash),
  dumpSqlKey(home, backupId, 'data', 7, hash),
  dumpSqlKey(home, backupId, 'post-data', 7, hash),
  dumpPartKey(home, backupId, { schema: 'app', name: 'users' }, 3, 7, hash),
  dumpManifestKey(home, backupId, hash),
])('the key %s is described in FORMAT.md', (key) => {
  expect(page).toContain(`| \`${described(key)}\` |`)
})

test('every field of the manifest is described in FORMAT.md', () => {
  const archive = ArchiveEntry.shape
  const fields = [...Object.keys(Manifest.shape), ...Object.keys(archive).map((name) => `archives[].${name}`)]
  for (const field of [...fields, ...Object.keys(Manifest.shape.backup_manifest.shape)]) {
    expect(page).toContain(`\`${field}\``)
  }
})

test('every field of the manifest of a dump is described in FORMAT.md', () => {
  const { chosen } = DumpManifest.shape
  const table = DumpedTable.shape
  const fields = [
    ...Object.keys(DumpManifest.shape),
    ...Object.keys(chosen.shape).map((name) => `chosen.${name}`),
    ...Object.keys(table).map((name) => `tables[].${name}`),
    ...Object.keys(DumpedSlice.shape).map((name) => `tables[].slices[].${name}`),
  ]
  const chapter = page.slice(page.indexOf('## Dumps'))
  for (const field of fields) expect(chapter).toContain(`\`${field}\``)
})

test('names of tables have nothing in a key that a shell or a URL would take for its own, and no two share one', () => {
  const folder = (schema: string, name: string) =>
    dumpPartKey(home, backupId, { schema, name }, 0, 0, hash).split('/')[5]
  expect(folder('we ird', 'a/b"é.')).toBe('we%20ird.a%2Fb%22%C3%A9%2E')
  expect(folder('a.b', 'c')).not.toBe(folder('a', 'b.c'))
  expect(folder('a', '%20')).not.toBe(folder('a', ' '))
})

test.each([PREVIOUS, null])('names of WAL and tails are read as they were written, after %s', (previous) => {
  const name = '0000000A0000000000000003'
  const range = { from: 0x3000100n, to: 0x3a0b0c0n }
  const read = { name, previous, sha12: sha12(hash) }
  expect(parseSegmentKey(segmentKey(home, segment, 16 * 1024 ** 2, hash, previous))).toEqual(read)
  expect(parseTailKey(tailKey(home, segment, 16 * 1024 ** 2, range, hash, previous))).toEqual({ ...read, ...range })
})

test('names of history files and manifests are read as they were written', () => {
  expect(parseHistoryKey(historyKey(home, 10, hash))).toEqual({ timeline: 10, sha12: sha12(hash) })
  expect(parseManifestKey(manifestKey(home, backupId, hash))).toEqual({ backupId, sha12: sha12(hash) })
  expect(parseDumpManifestKey(dumpManifestKey(home, backupId, hash))).toEqual({ dumpId: backupId, sha12: sha12(hash) })
  expect(parseManifestKey(dumpManifestKey(home, backupId, hash))).toBeNull()
})

test('the first segment of a timeline follows the segment in front by way of the history', () => {
  const of = (text: string) => sha12(createHash('sha256').update(text).digest())
  expect(previousOfFirst('0123456789ab', 'ba9876543210')).toBe(of('0123456789abba9876543210'))
  expect(previousOfFirst(null, 'ba9876543210')).toBe(of('ba9876543210'))
})

test.each([
  'x.backup',
  'x.partial',
  '0000000A0000000000000003.partial-0123456789ab.zst',
  '0000000A0000000000000003.zst',
])('the name %s is no WAL segment', (name) => {
  expect(parseSegmentKey(`db1/1/wal/0000000A/${name}`)).toBeNull()
})

test.each([
  `db1/7300000000000000001/copy/wal/0000000A/0000000A0000000000000003-${sha12(hash)}.zst`,
  `db1/7300000000000000001/wal/0000000B/0000000A0000000000000003-${sha12(hash)}.zst`,
  `db1/7300000000000000001/tail/0000000B/0000000A0000000000000003/0000000003000000-0000000003000100-${sha12(hash)}.zst`,
  `db1/7300000000000000001/copy/tail/0000000A/0000000A0000000000000003/0000000003000000-0000000003000100-${sha12(hash)}.zst`,
  `db1/7300000000000000001/copy/wal/0000000A.history-${sha12(hash)}`,
  `db1/7300000000000000001/copy/base/${backupId}/manifest-${sha12(hash)}.json`,
  `db1/7300000000000000001/base/old/base/000000-${sha12(hash)}.tar.zst`,
  `db2/7300000000000000001/wal/0000000A/0000000A0000000000000003-${sha12(hash)}.zst`,
])('nobody accounts for %s, which only ends like a key of ours', (key) => {
  expect(accountOf(home, key)).toBeNull()
})

test('every key that is written is accounted for', () => {
  const kinds = [
    segmentKey(home, segment, 16 * 1024 ** 2, hash, PREVIOUS),
    tailKey(home, segment, 16 * 1024 ** 2, { from: 0x3000100n, to: 0x3a0b0c0n }, hash, PREVIOUS),
    historyKey(home, 10, hash),
    partKey(home, backupId, '16384', 7, hash),
    backupManifestKey(home, backupId, hash),
    dumpPartKey(home, backupId, { schema: 'a b', name: 'c' }, 0, 0, hash),
  ].map((key) => accountOf(home, key)?.kind)
  expect(kinds).toEqual(['segment', 'tail', 'history', 'base', 'base', 'dump'])
})

test('two backups of one second have names of their own, and names sort by time', () => {
  const at = new Date('2026-11-22T10:00:00.999Z')
  const names = [Buffer.from([0x3f, 0xa9]), Buffer.from([0x3f, 0xaa])].map((random) => formatBackupId(at, random))
  expect(names).toEqual(['20261122T100000Z-3fa9', '20261122T100000Z-3faa'])
  expect(formatBackupId(new Date('2026-11-22T10:00:01Z'), Buffer.alloc(2)) > names[1]!).toBe(true)
})
