import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  backupManifestKey,
  formatBackupId,
  historyKey,
  manifestKey,
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
import { Manifest } from '../../src/box/manifest.js'

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
])('the key %s is described in FORMAT.md', (key) => {
  expect(page).toContain(`| \`${described(key)}\` |`)
})

test('every field of the manifest is described in FORMAT.md', () => {
  const archive = Manifest.shape.archives.element.shape
  const fields = [...Object.keys(Manifest.shape), ...Object.keys(archive).map((name) => `archives[].${name}`)]
  for (const field of [...fields, ...Object.keys(Manifest.shape.backup_manifest.shape)]) {
    expect(page).toContain(`\`${field}\``)
  }
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

test('two backups of one second have names of their own, and names sort by time', () => {
  const at = new Date('2026-11-22T10:00:00.999Z')
  const names = [Buffer.from([0x3f, 0xa9]), Buffer.from([0x3f, 0xaa])].map((random) => formatBackupId(at, random))
  expect(names).toEqual(['20261122T100000Z-3fa9', '20261122T100000Z-3faa'])
  expect(formatBackupId(new Date('2026-11-22T10:00:01Z'), Buffer.alloc(2)) > names[1]!).toBe(true)
})
