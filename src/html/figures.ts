import { html, type Content, type Html } from './html.js'

/** Where nothing is known; a small screen leaves it out. */
export const NOTHING = '–'

/** A table whose first cells name their rows. Columns whose name begins with `#` hold numbers, set to the right. */
export function figures(label: string, columns: readonly string[], rows: readonly (readonly Content[])[]): Html {
  const names = columns.map((name) => name.replace(/^#/, ''))
  const kind = (index: number) => (columns[index]!.startsWith('#') ? 'number' : '')
  const row = ([head, ...cells]: readonly Content[]) =>
    html`<tr role="row">
      <th scope="row" role="rowheader"><div>${head!}</div></th>
      ${cells.map((cell, index) => html`<td role="cell" data-name="${names[index + 1]!}" class="${kind(index + 1)} ${cell === NOTHING ? 'nothing' : ''}"><div>${cell}</div></td>`)}
    </tr> `
  return html`<table class="figures" role="table" aria-label="${label}">
    <thead role="rowgroup">
      <tr role="row">
        ${names.map((name, index) => html`<th scope="col" role="columnheader" class="${kind(index)}">${name}</th>`)}
      </tr>
    </thead>
    <tbody role="rowgroup">
      ${rows.map(row)}
    </tbody>
  </table>`
}

/** Rows of figures, which become cards where there is no room. Roles must be said in the markup: blocks would lose them. */
export const figuresStyle = `
.figures { border-collapse: collapse; width: 100%; font-size: .92rem; }
.figures th, .figures td { text-align: left; vertical-align: top; padding: .5rem .7rem .5rem 0; border-top: 1px solid var(--line); font-weight: 400; }
.figures tr:last-child > * { border-bottom: 1px solid var(--line); }
.figures thead th { color: var(--quiet); font-size: .82rem; font-weight: 600; border-top: 0; vertical-align: bottom; }
.figures .number { text-align: right; padding-right: 1.2rem; white-space: nowrap; }
.figures tbody th { min-width: 8rem; }
.figures .server { font-weight: 600; overflow-wrap: anywhere; }
.figures .more { display: block; color: var(--quiet); font-size: .85em; overflow-wrap: anywhere; }
.figures .when, .figures .together { white-space: nowrap; }
.figures .earlier .server { font-weight: 400; }
.figures tr:target > * { background: var(--raised); }
@media (max-width: 60rem) {
  .figures, .figures tbody, .figures tr, .figures th, .figures td { display: block; }
  .figures thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .figures tr { border: 1px solid var(--line); border-radius: 8px; padding: .3rem .8rem; margin: .75rem 0; }
  .figures tr > *, .figures tr:last-child > * { border: 0; padding: .2rem 0; }
  .figures td { display: grid; grid-template-columns: 8.5rem minmax(0, 1fr); gap: .75rem; }
  .figures td.nothing { display: none; }
  .figures .number { text-align: left; }
  .figures td::before { content: attr(data-name); color: var(--quiet); }
}
@media (min-width: 40.01rem) and (max-width: 60rem) {
  .figures tr { display: grid; grid-template-columns: 1fr 1fr; column-gap: 2rem; }
  .figures tr > th { grid-column: 1 / -1; }
}
`
