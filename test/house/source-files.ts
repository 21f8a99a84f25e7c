import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'

const ROOT = resolve(import.meta.dirname, '../..')

export interface SourceFile {
  /** from the top of the project, with `/` */
  path: string
  text: string
}

/** Every file below the named folders, such as `src`, by path. */
export function filesIn(...folders: string[]): SourceFile[] {
  return folders
    .flatMap((folder) => readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }))
}

/** The TypeScript sources of the product. */
export function sources(): SourceFile[] {
  return filesIn('src').filter(({ path }) => path.endsWith('.ts'))
}
