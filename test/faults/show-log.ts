import { beforeEach, onTestFailed } from 'vitest'
import type { BackedUpServer } from '../sandbox/backed-up-server.js'

/** A test that fails prints the end of its worker's log: what is asserted is rarely what went wrong. */
export function showLogOfFailures(backedUp: () => BackedUpServer): void {
  beforeEach(() => {
    onTestFailed(() => {
      console.error(backedUp().worker.log.split('\n').slice(-40).join('\n'))
    })
  })
}
