/** At the head of every page that is made. */
export const MADE = '<!-- Made by "npm run docs"; a test fails when it is out of date. -->\n'

/** A table of Markdown. Cells are text, not Markdown, unless `code()` made them. */
export function markdownTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(headings), line(headings.map(() => '---')), ...rows.map(line)].join('\n')
}

/** Text as a cell: nothing in it is taken for Markdown or HTML. */
export function plain(text: string): string {
  return text
    .replace(/[\\|<>*_`[\]]/g, '\\$&')
    .replace(/\s+/g, ' ')
    .trim()
}

/** Something to type, in a cell or a line. */
export const code = (text: string): string => `\`${text.replaceAll('|', '\\|')}\``
