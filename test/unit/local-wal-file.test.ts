import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readOffer, type NamedFile } from '../../src/worker/archive-offer.js'
import { LocalWalFile } from '../../src/worker/local-wal-file.js'

const NAME = '000000010000000000000001'
const content = randomBytes(5_000_000)

let directory: string
let path: string
let opened: LocalWalFile[]

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pb-local-'))
  path = join(directory, NAME)
  await writeFile(path, content)
  opened = []
})

afterEach(async () => {
  for (const each of opened) await each.close()
  await rm(directory, { recursive: true })
})

async function named(at = path): Promise<NamedFile> {
  const { dev, ino } = await stat(at, { bigint: true })
  return { path: at, device: dev.toString(), inode: ino.toString() }
}

async function open(file: NamedFile): Promise<LocalWalFile | null> {
  const local = await LocalWalFile.open(file, (bytes) => Buffer.alloc(bytes))
  if (local) opened.push(local)
  return local
}

test('a file that was named is read as it is, and once', async () => {
  const file = (await open(await named()))!
  expect(file).toMatchObject({ name: NAME, bytes: content.length, head: content.subarray(0, 40) })
  expect(await file.sha256()).toEqual(createHash('sha256').update(content).digest())
  await writeFile(path, Buffer.alloc(content.length))
  expect((await file.read()).equals(content)).toBe(true)
  expect(await file.sha256()).toEqual(createHash('sha256').update(content).digest())
})

test('a file that changes while it is read has the hash of the bytes that were read', async () => {
  let overwrite = Promise.resolve()
  const file = (await LocalWalFile.open(await named(), (bytes) => {
    overwrite = writeFile(path, Buffer.alloc(bytes, 1), { flag: 'r+' })
    return Buffer.alloc(bytes)
  }))!
  opened.push(file)
  const sha256 = await file.sha256()
  expect(sha256).toEqual(
    createHash('sha256')
      .update(await file.read())
      .digest(),
  )
  await overwrite
})

test('a file that is cut off while it is read is no WAL', async () => {
  const file = (await open(await named()))!
  await truncate(path, 4_500_000)
  const failure = { code: 'wal_invalid', message: `${NAME} was cut off while it was read` }
  await expect(file.sha256()).rejects.toMatchObject(failure)
  await expect(file.read()).rejects.toMatchObject(failure)
})

test('a short file has a short head', async () => {
  await truncate(path, 10)
  expect(await open(await named())).toMatchObject({ bytes: 10, head: content.subarray(0, 10) })
})

test('another file at the same path is not taken for the one that was meant', async () => {
  const meant = await named()
  await rm(path)
  await copyFile('/dev/null', join(directory, 'in its place'))
  await writeFile(path, content)
  expect(await open({ ...meant, inode: `${meant.inode}0` })).toBeNull()
  expect(await open({ ...(await named()), device: '1' })).toBeNull()
  expect(await open(await named())).not.toBeNull()
})

test('a link, a directory, a pipe and nothing at all are not read', async () => {
  const at = (place: string) => join(directory, place, NAME)
  for (const place of ['link', 'folder', 'pipe']) await mkdir(join(directory, place))
  await symlink(path, at('link'))
  await mkdir(at('folder'))
  execFileSync('mkfifo', [at('pipe')])
  for (const place of ['link', 'folder', 'pipe']) expect(await open(await named(at(place)))).toBeNull()
  expect(await open({ ...(await named()), path: at('nowhere') })).toBeNull()
})

test('a folder may be a link, as pg_wal may', async () => {
  await symlink(directory, join(directory, 'pg_wal'))
  expect(await open(await named(join(directory, 'pg_wal', NAME)))).not.toBeNull()
})

test('only a file with the name of WAL is opened', async () => {
  const secret = join(directory, 'id_rsa')
  await writeFile(secret, 'secret')
  await expect(open(await named(secret))).rejects.toMatchObject({ code: 'bad_argument' })
})

test('what is no offer is refused', () => {
  const sent = { file: NAME, bytes: 1, sha256: '0'.repeat(64), head: '' }
  const local = { path: '/p', device: '1', inode: '2' }
  expect(readOffer(sent)).toEqual(sent)
  expect(readOffer(local)).toEqual(local)
  const wrong = [
    { ...sent, bytes: -1 },
    { ...sent, sha256: 'x' },
    { ...local, path: 'p' },
    { ...local, inode: 2 },
  ]
  for (const offer of [null, 1, 'x', [], {}, ...wrong]) {
    expect(() => readOffer(offer)).toThrow(expect.objectContaining({ code: 'bad_argument' }))
  }
})
