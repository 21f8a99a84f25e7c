import { execFileSync } from 'node:child_process'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { TarReader } from '../../src/keyholder/tar-reader.js'
import { makeTar, type TarInput } from '../sandbox/make-tar.js'
import { removeScratch, scratchDir } from '../sandbox/scratch.js'

afterAll(() => removeScratch())

interface Read {
  path: string
  kind: string
  mode?: number
  content?: Buffer
  to?: string
}

/** Everything in a tar that is pushed in the given pieces. */
function readAll(pieces: readonly Buffer[]): Read[] {
  const reader = new TarReader()
  const entries: (Read & { pieces?: Buffer[] })[] = []
  for (const piece of pieces) {
    for (const event of reader.push(piece)) {
      if (event.kind === 'data') entries.at(-1)!.pieces!.push(Buffer.from(event.content))
      else if (event.kind === 'end') entries.at(-1)!.content = Buffer.concat(entries.at(-1)!.pieces!)
      else if (event.kind === 'file') entries.push({ path: event.path, kind: 'file', mode: event.mode, pieces: [] })
      else entries.push(event)
    }
  }
  reader.finish()
  return entries.map((entry) => {
    delete entry.pieces
    return entry
  })
}

function cutAt(tar: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [0, ...cuts.map((cut) => cut % tar.length).sort((a, b) => a - b), tar.length]
  return places.slice(1).map((place, index) => tar.subarray(places[index], place))
}

const names = fc.stringMatching(/^[a-z0-9_]{1,30}$/)
const entries = fc.record({
  path: fc.array(names, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('/')),
  mode: fc.constantFrom(0o600, 0o640, 0o700),
  content: fc.uint8Array({ maxLength: 3000 }).map((bytes) => Buffer.from(bytes)),
  binarySize: fc.boolean(),
})

describe('the tar reader', () => {
  test('gives every entry whole, however the tar is cut into pieces', () => {
    fc.assert(
      fc.property(fc.array(entries, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 12 }), (inputs, cuts) => {
        const expected = inputs.map(({ path, mode, content }) => ({ kind: 'file', path, mode, content }))
        expect(readAll(cutAt(makeTar(inputs), cuts))).toEqual(expected)
      }),
    )
  })

  test('reads what the system tar writes', async () => {
    const directory = await scratchDir('tar')
    const deep = `base/${'d'.repeat(60)}/${'e'.repeat(60)}`
    await mkdir(join(directory, 'tree', deep), { recursive: true })
    await mkdir(join(directory, 'tree/pg_tblspc'))
    await writeFile(join(directory, 'tree', deep, '16384'), 'x'.repeat(1000))
    await writeFile(join(directory, 'tree/PG_VERSION'), '')
    await symlink('/srv/fast', join(directory, 'tree/pg_tblspc/16401'))
    const top = ['base', 'PG_VERSION', 'pg_tblspc']
    const tar = execFileSync('tar', ['--format=ustar', '-cf', '-', '-C', join(directory, 'tree'), ...top])
    const read = readAll([tar])
    expect(read.find((one) => one.path === `${deep}/16384`)?.content).toEqual(Buffer.from('x'.repeat(1000)))
    expect(read.find((one) => one.path === 'PG_VERSION')?.content).toEqual(Buffer.alloc(0))
    expect(read.find((one) => one.path === 'pg_tblspc/16401')).toMatchObject({ kind: 'link', to: '/srv/fast' })
    expect(read.filter((one) => one.kind === 'directory').map((one) => one.path)).toContain('pg_tblspc/')
  })

  const some: TarInput[] = [{ path: 'PG_VERSION', content: Buffer.from('18\n') }]

  test.each([
    ['a cut file', makeTar(some).subarray(0, 514), /cut/],
    ['a cut header', makeTar(some).subarray(0, 100), /cut/],
    ['a missing end', makeTar(some).subarray(0, 1024), /no end/],
    ['an entry behind the end', Buffer.concat([makeTar(some), makeTar(some)]), /behind its end/],
    ['an extended header', makeTar([{ path: 'x', type: 'x' }]), /type "x"/],
    ['a long name of GNU tar', makeTar([{ path: 'x', type: 'L' }]), /type "L"/],
  ])('refuses %s', (_, tar, message) => {
    expect(() => readAll([tar])).toThrow(message)
  })

  test('refuses a header with a flipped bit', () => {
    const tar = makeTar(some)
    tar[3]! ^= 1
    expect(() => readAll([tar])).toThrow(/checksum/)
  })
})
