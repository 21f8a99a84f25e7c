import { expect, test } from 'vitest'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { cleanEnvironment, gatherOutput } from '../sandbox/postbox.js'
import { endWithUs, forgetProcess } from '../sandbox/guard.js'

const root = fileURLToPath(new URL('../../', import.meta.url))

test('verify finds the one gap among a million segments, in memory that has no room for their names', async () => {
  const loader = ['--disable-warning=DEP0180', '--import', `${root}.ts-node.js`]
  const program = `${root}test/sandbox/verify-million.ts`
  // The million keys with what is known of each take more than 200 MB.
  const child = spawn(process.execPath, ['--max-old-space-size=64', ...loader, program], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: cleanEnvironment(),
  })
  endWithUs(child.pid!, 'KILL')
  const output = gatherOutput(child)
  await once(child, 'close')
  forgetProcess(child.pid!)
  expect(output.stderr).toBe('')
  const found = JSON.parse(output.stdout) as { peakBytes: number }
  const gap = { from_lsn: '61/A8100000', to_lsn: '61/A8200000' }
  const problem = `WAL of timeline 1 is missing from ${gap.from_lsn} to ${gap.to_lsn}`
  expect(found).toMatchObject({
    segments: 999_999,
    backups: 2,
    wal_gaps: [{ timeline: 1, ...gap }],
    // It lies before the newest backup: nothing that can still be promised is lost.
    problems: [{ severity: 'warning', problem }],
  })
  // What outlives young objects; 9 MB when this was written.
  expect(found.peakBytes).toBeLessThan(32 * 1024 * 1024)
})
