import { html, Html, type Content } from './html.js'

export interface PageParts {
  title: string
  /** all of its style: see pageStyle() */
  style: string
  body: Content
  /** more for its head, and at its end */
  head?: Content
  script?: string
  /** what the page may do; null: whoever serves it says so */
  policy?: string | null
}

/** The style of a page: that of all pages, and its own. */
export const pageStyle = (own: string): string => STYLE + own

/** A page that needs nothing else: nothing is loaded and, if it is not said otherwise, no script runs in it. */
export function page({ title, style, body, head = null, script, policy = NOTHING_BUT_STYLE }: PageParts): string {
  return html`${new Html('<!doctype html>')}
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        ${policy !== null && html`<meta http-equiv="Content-Security-Policy" content="${policy}" />`}
        <meta name="referrer" content="no-referrer" />
        <title>${title}</title>
        ${new Html(`<style>${style}</style>`)}${head}
      </head>
      <body>
        ${body}${script !== undefined && new Html(`<script>${script}</script>`)}
      </body>
    </html> `.text
}

const NOTHING_BUT_STYLE = "default-src 'none'; style-src 'unsafe-inline'"

/**
 * Colours by meaning, each with enough contrast to both its grounds: 4.5 for text, 3 for marks. Whatever a colour says is
 * said by a word or a shape too.
 */
const STYLE = `
:root {
  --ground: #ffffff; --raised: #f6f8fa; --line: #d1d9e0; --text: #1f2328; --quiet: #59636e;
  --window: #0969da; --base: #1f2328; --dump: #8250df;
  --good: #1a7f37; --warn: #9a6700; --crit: #cf222e;
  --good-ground: #dafbe1; --warn-ground: #fff8c5; --crit-ground: #ffebe9; --crit-text: #a40e26; --good-text: #116329; --warn-text: #7d4e00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0d1117; --raised: #151b23; --line: #3d444d; --text: #f0f6fc; --quiet: #9198a1;
    --window: #4493f8; --base: #f0f6fc; --dump: #ab7df8;
    --good: #3fb950; --warn: #d29922; --crit: #f85149;
    --good-ground: #12261e; --warn-ground: #272115; --crit-ground: #25171c; --crit-text: #ff7b72; --good-text: #56d364; --warn-text: #e3b341;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 1.5rem clamp(.75rem, 3vw, 2.5rem) 3rem; max-width: 110rem;
  background: var(--ground); color: var(--text);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  font-variant-numeric: tabular-nums;
}
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0; }
h2 { font-size: 1.1rem; margin: 2.25rem 0 .5rem; }
p { margin: .35rem 0; max-width: 75ch; }
.quiet { color: var(--quiet); }
bdi { overflow-wrap: anywhere; }
code { font: .92em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
:focus-visible { outline: 2px solid var(--window); outline-offset: 2px; }
.badge {
  display: inline-block; padding: 0 .5em; border: 1px solid; border-radius: 1em;
  font-size: .8rem; font-weight: 600; line-height: 1.5; white-space: nowrap;
}
.badge.ok { color: var(--good-text); background: var(--good-ground); border-color: var(--good); }
.badge.warn { color: var(--warn-text); background: var(--warn-ground); border-color: var(--warn); }
.badge.crit { color: var(--crit-text); background: var(--crit-ground); border-color: var(--crit); }
.badge.old { color: var(--quiet); background: var(--raised); border-color: var(--line); }
`
