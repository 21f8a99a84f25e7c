/** An argument of a function with the comment above it in sql/. */
export interface DocumentedArgument {
  /** as it is declared: `label text default null` */
  declared: string
  comment: string
}

export interface DocumentedSignature {
  arguments: DocumentedArgument[]
  /** above `returns` */
  returns: string
}

/** The comments in the head of `backup.<name>` as sql/ has it. */
export function documentedSignature(sql: string, name: string): DocumentedSignature {
  const head = new RegExp(
    `^create or replace (?:function|procedure) backup\\.${name}\\(([\\s\\S]*?)^\\)?\\s*(?:language|as)\\b`,
    'm',
  )
  const text = head.exec(sql)?.[1]
  if (text === undefined) throw new Error(`sql/ has no function backup.${name}`)
  const [list, rest = ''] = text.split(/^\)/m)
  return { arguments: documentedArguments(list!), returns: commentIn(rest) }
}

function documentedArguments(list: string): DocumentedArgument[] {
  const found: DocumentedArgument[] = []
  let comment: string[] = []
  for (const line of list.split('\n').map((one) => one.trim())) {
    if (line.startsWith('--')) comment.push(line.slice(2).trim())
    else if (line !== '') {
      found.push({ declared: line.replace(/,$/, ''), comment: comment.join(' ') })
      comment = []
    }
  }
  return found
}

function commentIn(text: string): string {
  const lines = text.split('\n').map((one) => one.trim())
  return lines
    .filter((line) => line.startsWith('--'))
    .map((line) => line.slice(2).trim())
    .join(' ')
}
