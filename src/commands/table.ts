/** A table for people: columns as wide as their longest cell, two spaces between, no lines. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [headings, ...rows]
  const widths = headings.map((_, column) => Math.max(...all.map((cells) => printed(cells[column]!).length)))
  return all.map((cells) =>
    `  ${cells.map((cell, column) => printed(cell).padEnd(widths[column]!)).join('  ')}`.trimEnd(),
  )
}

/** Labels come out of the bucket, so that a terminal must not take them for commands. */
// eslint-disable-next-line no-control-regex
export const printed = (cell: string): string => cell.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?')
