/**
 * What keeps an open page up to date, where scripts may run. It puts in what the worker says is new: HTML that is escaped
 * already. When that is for another edition of the page, as after an upgrade, it is loaded anew. What somebody reads, selects, has opened or scrolled stays as it is; a hidden page listens to nothing.
 */
export const liveScript = `(() => {
  'use strict'
  const state = document.getElementById('live')
  const stale = document.getElementById('stale')
  const waiting = new Map()
  let source = null
  let heardAt = new Date()
  const selects = (element) => {
    const selection = getSelection()
    return selection && !selection.isCollapsed && (element.contains(selection.anchorNode) || element.contains(selection.focusNode))
  }
  const put = (id, text) => {
    const element = document.getElementById(id)
    if (!element) return
    if (selects(element)) { waiting.set(id, text); return }
    waiting.delete(id)
    const open = Array.from(element.querySelectorAll('details[open]'), (one) => one.id)
    const active = document.activeElement
    const summary = element.contains(active) && active.tagName === 'SUMMARY' ? active.parentElement.id : null
    element.innerHTML = text
    for (const one of open) { const found = document.getElementById(one); if (found) found.open = true }
    if (summary) document.querySelector('#' + summary + ' > summary')?.focus({ preventScroll: true })
  }
  const connect = () => {
    if (source || document.hidden) return
    source = new EventSource('/events')
    source.onmessage = ({ data }) => {
      heardAt = new Date()
      const { edition, sections } = JSON.parse(data)
      if (edition !== state.dataset.edition) { location.reload(); return }
      stale.hidden = true
      state.textContent = 'live'
      state.classList.add('on')
      for (const [id, text] of Object.entries(sections)) put(id, text)
    }
    source.onerror = () => {
      stale.querySelector('time').textContent = heardAt.toISOString().slice(0, 19).replace('T', ' ') + ' UTC'
      stale.hidden = false
      state.textContent = 'not connected'
      state.classList.remove('on')
      if (source.readyState === EventSource.CLOSED) { close(); setTimeout(connect, 15000) }
    }
  }
  const close = () => { source?.close(); source = null }
  document.addEventListener('selectionchange', () => { for (const [id, text] of Array.from(waiting)) put(id, text) })
  document.addEventListener('visibilitychange', () => { if (document.hidden) close(); else connect() })
  addEventListener('pagehide', close)
  addEventListener('pageshow', connect)
  connect()
})()`
