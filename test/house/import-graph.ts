import { posix } from 'node:path'
import ts from 'typescript'
import type { SourceFile } from './source-files.js'

/** What each file imports: other files by path, packages by the name in the import. Types and dynamic imports count. */
export type ImportGraph = ReadonlyMap<string, readonly string[]>

export function importGraph(files: readonly SourceFile[]): ImportGraph {
  return new Map(files.map(({ path, text }) => [path, importsOf(path, text)]))
}

function importsOf(path: string, text: string): string[] {
  return ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => {
    if (!fileName.startsWith('.')) return fileName
    return posix.join(posix.dirname(path), fileName).replace(/\.js$/, '.ts')
  })
}

/** All that a file reaches, directly or through others, each with the way to it: `a.ts > b.ts > pg`. */
export function reachedFrom(graph: ImportGraph, file: string): Map<string, string> {
  const reached = new Map<string, string>()
  const open = [{ at: file, way: file }]
  for (let next = open.shift(); next; next = open.shift()) {
    for (const imported of graph.get(next.at) ?? []) {
      if (reached.has(imported) || imported === file) continue
      const way = `${next.way} > ${imported}`
      reached.set(imported, way)
      open.push({ at: imported, way })
    }
  }
  return reached
}

/** Ways from files whose path matches `from` to files or packages that match `to`. */
export function forbiddenWays(graph: ImportGraph, from: RegExp, to: RegExp): string[] {
  const starts = [...graph.keys()].filter((path) => from.test(path))
  return starts.flatMap((start) =>
    [...reachedFrom(graph, start)].filter(([imported]) => to.test(imported)).map(([, way]) => way),
  )
}
