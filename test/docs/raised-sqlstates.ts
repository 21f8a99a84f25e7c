/** One `raise exception using …` of the schema's functions. */
export interface RaisedSql {
  sqlstate: string
  message: string
  hint: string
  path: string
}

/** Every exception of class PB in a file of SQL; of a text that is put together, what stands in quotes. */
export function raisedSqlstates({ path, text }: { path: string; text: string }): RaisedSql[] {
  return [...text.matchAll(/raise exception using\b((?:'(?:[^']|'')*'|[^;'])*);/g)].flatMap(([, options]) => {
    const [states, message, hint] = ['errcode', 'message', 'hint'].map((name) => option(options!, name))
    return (states!.match(/PB\d{3}/g) ?? []).map((sqlstate) => {
      return { sqlstate, message: quoted(message!), hint: quoted(hint!), path }
    })
  })
}

function option(options: string, name: string): string {
  const begin = new RegExp(`\\b${name}\\s*=`).exec(options)
  if (!begin) return ''
  const rest = options.slice(begin.index + begin[0].length)
  const end = /,\s*(?:errcode|message|hint|detail)\s*=/.exec(rest)
  return end ? rest.slice(0, end.index) : rest
}

/** What an expression says, with `…` for what is known only later. */
function quoted(expression: string): string {
  // Adjacent literals are one, and keys of JSON say nothing.
  const joined = expression.replace(/'\s*\n\s*'/g, '').replace(/->>?\s*'\w+'/g, '')
  const format = /format\(\s*'((?:[^']|'')*)'/.exec(joined)
  const literals = format ? [format] : [...joined.matchAll(/'((?:[^']|'')*)'/g)]
  const text = literals.map((one) => one[1]!.replaceAll("''", "'")).join('…')
  return text === '' ? '…' : text.replace(/%(?:\d+\$)?[sIL]/g, '…')
}
