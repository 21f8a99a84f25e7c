import { createHash } from 'node:crypto'
import type { Part } from './box.js'

/** The hashes of a part's stored bytes, where its maker has them already. */
export interface PartHashes {
  sha256: Buffer
  md5: Buffer
}

/** A part of these bytes, which must not change any more; hashes them unless `hashes` are given. */
export function createPart(key: string, chunks: readonly Buffer[], contentType: string, hashes?: PartHashes): Part {
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  const { sha256, md5 } = hashes ?? hashChunks(chunks)
  return { key, chunks, bytes, sha256, md5, contentType }
}

function hashChunks(chunks: readonly Buffer[]): PartHashes {
  const sha256 = createHash('sha256')
  const md5 = createHash('md5')
  for (const chunk of chunks) {
    sha256.update(chunk)
    md5.update(chunk)
  }
  return { sha256: sha256.digest(), md5: md5.digest() }
}
