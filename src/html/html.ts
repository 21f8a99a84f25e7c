/** Text that is HTML already. */
export class Html {
  constructor(readonly text: string) {}
}

/** What may stand in a template: HTML as it is, anything else escaped, nothing for null and false, lists one by one. */
export type Content = Html | string | number | null | false | readonly Content[]

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/** Text for between tags and within quotes. Control characters, which HTML does not know, become a replacement sign. */
export function escape(text: string): string {
  // eslint-disable-next-line no-control-regex
  const visible = text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd').toWellFormed()
  return visible.replace(/[&<>"']/g, (sign) => ENTITIES[sign]!)
}

/** HTML in which whatever is filled in is escaped, unless it is HTML itself. Attributes must stand in quotes. */
export function html(strings: TemplateStringsArray, ...values: readonly Content[]): Html {
  const text = strings.map((string, index) => {
    // The template's own indentation would be most of a page with many rows.
    return (index === 0 ? '' : textOf(values[index - 1]!)) + string.replace(/\n\s+/g, '\n')
  })
  return new Html(text.join(''))
}

function textOf(value: Content): string {
  if (value === null || value === false) return ''
  if (value instanceof Html) return value.text
  if (typeof value === 'object') return value.map(textOf).join('')
  return escape(String(value))
}

/** Text that a person wrote: kept together, so that its signs of direction turn nothing around it. */
export const written = (text: string): Html => html`<bdi>${text}</bdi>`
