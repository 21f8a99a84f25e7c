import { html, type Content, type Html } from './html.js'

/** A figure with its name above and a word more below. */
export const fact = (name: string, value: Content, more: Content = null): Html =>
  html`<div>
    <dt>${name}</dt>
    <dd>${value}${more !== null && html` <span class="quiet">${more}</span>`}</dd>
  </div>`

/** Figures side by side. */
export const facts = (...some: readonly Content[]): Html => html`<dl class="facts">${some}</dl>`

export const factsStyle = `
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; margin: 1.25rem 0 0; }
.facts > div { padding: .6rem .8rem; background: var(--raised); border: 1px solid var(--line); border-radius: 8px; }
.facts dt { color: var(--quiet); font-size: .85rem; }
.facts dd { overflow-wrap: anywhere; margin: 0; font-size: 1.3rem; font-weight: 600; line-height: 1.3; }
.facts dd .quiet { display: block; font-size: .8rem; font-weight: 400; }
.facts .crit { color: var(--crit-text); }
.facts .warn { color: var(--warn-text); }
@media (max-width: 40rem) { .facts { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .5rem; } }
`
