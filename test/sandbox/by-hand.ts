import { restoreNote } from '../../src/box/restore-note.js'

/** Lines of shell in the note that lies in the bucket, as they stand under one of its headings. */
export interface Step {
  /** such as `1` or `D2`; empty above the first */
  number: string
  /** what is written behind the marks of code: `aws` for what takes the place of curl */
  kind: string
  lines: string
}

/** All lines of shell in the note, in order. */
export function stepsOf(server: string): Step[] {
  const note = restoreNote(server).content.toString()
  return note.split(/^#{2,3} /m).flatMap((section) => {
    const number = /^(\w+)\. /.exec(section)?.[1] ?? ''
    const blocks = [...section.matchAll(/^```sh ?(.*?)\n(.*?)^```$/gms)]
    return blocks.map(([, kind, lines]) => ({ number, kind: kind!, lines: lines! }))
  })
}

/** What a shell is given: the lines under these headings, with curl. */
export function linesOf(server: string, numbers: readonly string[]): string {
  const steps = stepsOf(server).filter(({ kind }) => kind === '')
  return numbers
    .map((wanted) => {
      const found = steps.filter(({ number }) => number === wanted)
      if (found.length === 0) throw new Error(`there is no step ${wanted}`)
      return found.map(({ lines }) => lines).join('\n')
    })
    .join('\n')
}

/** The names that a person fills in: what is assigned in step 1. */
export function settingsOf(server: string): string[] {
  return [...linesOf(server, ['1']).matchAll(/(?:^| )([A-Z_]+)=/gm)].map(([, name]) => name!)
}
