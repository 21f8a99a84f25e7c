const BLOCK = 512

export interface TarInput {
  path: string
  type?: '0' | '5' | '2' | 'x' | 'L'
  mode?: number
  content?: Buffer
  link?: string
  /** the size as a binary number, as Postgres writes files over 8 GiB */
  binarySize?: boolean
}

/** A ustar archive of these entries, with its two closing blocks. */
export function makeTar(entries: readonly TarInput[]): Buffer {
  return Buffer.concat([...entries.map(makeEntry), Buffer.alloc(2 * BLOCK)])
}

function makeEntry({ path, type = '0', mode = 0o600, content = Buffer.alloc(0), link = '', binarySize }: TarInput) {
  const header = Buffer.alloc(BLOCK)
  const cut = Buffer.byteLength(path) > 100 ? path.lastIndexOf('/', 154) : -1
  header.write(cut < 0 ? path : path.slice(cut + 1), 0, 100)
  if (cut >= 0) header.write(path.slice(0, cut), 345, 155)
  header.write(mode.toString(8).padStart(7, '0'), 100)
  if (binarySize) {
    header.writeUInt8(0x80, 124)
    header.writeUIntBE(content.length, 130, 6)
  } else {
    header.write(content.length.toString(8).padStart(11, '0'), 124)
  }
  header.write(type, 156)
  header.write(link, 157, 100)
  header.write('ustar\x0000', 257)
  header.fill(0x20, 148, 156)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return Buffer.concat([header, content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)])
}
