import { lstat, mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { Untar, type Placement } from '../../src/keyholder/untar.js'
import { FileWriter } from '../../src/keyholder/write-files.js'
import { makeTar, type TarInput } from '../sandbox/make-tar.js'
import { removeScratch, scratchDir } from '../sandbox/scratch.js'

let parent: string
let root: string

beforeEach(async () => {
  parent = await scratchDir('untar')
  root = join(parent, 'root')
  await mkdir(root)
})

afterAll(() => removeScratch())

/** Unpacks entries, pushed in pieces, into `root`. */
async function unpack(entries: readonly TarInput[], pieceBytes = 700, placement?: Placement): Promise<void> {
  const writer = new FileWriter(null)
  const untar = new Untar(root, writer, 'base', placement)
  const tar = makeTar(entries)
  for (let at = 0; at < tar.length; at += pieceBytes) await untar.push(tar.subarray(at, at + pieceBytes))
  untar.finish()
  await writer.finish()
}

async function files(): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile()) found[path.slice(root.length + 1)] = (await readFile(path)).toString('latin1')
  }
  return found
}

describe('unpacking', () => {
  test('gives back every tree, whatever the pieces', async () => {
    const name = fc.stringMatching(/^[a-z]{1,8}$/)
    const tree = fc.dictionary(
      fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/d_') + '.f'),
      fc.uint8Array({ maxLength: 5000 }).map((bytes) => Buffer.from(bytes)),
      { maxKeys: 12 },
    )
    await fc.assert(
      fc.asyncProperty(tree, fc.integer({ min: 100, max: 4000 }), async (contents, pieceBytes) => {
        root = await scratchDir('tree')
        const entries = Object.entries(contents)
        for (const [path] of entries) {
          const above = path.split('/').slice(0, -1)
          if (above.length > 0) await mkdir(join(root, ...above), { recursive: true })
        }
        await unpack(
          entries.map(([path, content]) => ({ path, content })),
          pieceBytes,
        )
        expect(await files()).toEqual(Object.fromEntries(entries.map(([path, one]) => [path, one.toString('latin1')])))
        await removeScratch(root)
      }),
      { numRuns: 30 },
    )
  })

  test('keeps empty directories, and closes everything to others but what the group could read', async () => {
    await unpack([
      { path: 'pg_wal/archive_status/', type: '5', mode: 0o750 },
      { path: 'open', mode: 0o666 },
      { path: 'group', mode: 0o640 },
      { path: 'closed', mode: 0o400 },
    ])
    const mode = async (path: string) => (await lstat(join(root, path))).mode & 0o777
    expect(await mode('pg_wal/archive_status')).toBe(0o750)
    expect([await mode('open'), await mode('group'), await mode('closed')]).toEqual([0o640, 0o640, 0o600])
  })

  test('puts files elsewhere or nowhere, as told', async () => {
    const entries = [
      { path: 'a', content: Buffer.from('1') },
      { path: 'b', content: Buffer.from('2') },
    ]
    await unpack(entries, 700, (path) => (path === 'a' ? 'c' : null))
    expect(await files()).toEqual({ c: '1' })
  })

  test.each(['../out', '/etc/out', 'a/../../out', '..', '', './', 'a//b', 'a/./b'])(
    'refuses the path "%s" and writes nothing',
    async (path) => {
      const failing = unpack([{ path, content: Buffer.from('x') }])
      await expect(failing).rejects.toMatchObject({ code: 'restore_failed' })
      expect(await readdir(parent)).toEqual(['root'])
      expect(await readdir(root)).toEqual([])
    },
  )

  test.each(['base/1', 'pg_wal', 'pg_tblspc/../base', 'pg_tblspc/x'])('refuses a link at "%s"', async (path) => {
    await expect(unpack([{ path, type: '2', link: '/etc' }])).rejects.toMatchObject({ code: 'restore_failed' })
    expect(await readdir(root)).toEqual([])
  })

  test('makes no link of a tablespace, so that nothing can be written through it', async () => {
    await mkdir(join(root, 'pg_tblspc'))
    const through = unpack([
      { path: 'pg_tblspc/16401', type: '2', link: parent },
      { path: 'pg_tblspc/16401/out', content: Buffer.from('x') },
    ])
    await expect(through).rejects.toMatchObject({ code: 'ENOENT' })
    expect(await readdir(parent)).toEqual(['root'])
  })

  test('writes no file twice', async () => {
    await expect(unpack([{ path: 'a' }, { path: 'a' }])).rejects.toMatchObject({ code: 'EEXIST' })
  })
})
