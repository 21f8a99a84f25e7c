import { afterAll, expect, it } from 'vitest'
import { removeScratch, startPostgres } from './postgres.js'
import { until } from './until.js'
import { missingRows, startWorkload } from './workload.js'

afterAll(() => removeScratch())

it('writes until it is stopped, holds still while paused, and outlives a crash of the server', async () => {
  const postgres = await startPostgres()
  const workload = await startWorkload(postgres, { clients: 3 })
  const count = async () => (await postgres.query<{ n: number }>('select count(*)::int as n from workload.entry'))[0]!.n
  await until('50 transactions are acknowledged', () => workload.acknowledged.length >= 50)

  await workload.pause()
  const paused = workload.acknowledged.length
  for (const { begun_at, committed_by } of workload.acknowledged) expect(begun_at < committed_by).toBe(true)
  expect(await count()).toBe(paused)
  expect(workload.acknowledged.length).toBe(paused)
  workload.resume()
  await until('it goes on', () => workload.acknowledged.length > paused)

  await postgres.kill9()
  await postgres.start()
  const crashed = workload.acknowledged.length
  await until('every client writes again', () => workload.acknowledged.length > crashed + 20)
  await workload.stop()
  const stopped = workload.acknowledged.length
  expect(await missingRows(postgres, workload.acknowledged)).toEqual([])
  expect(await count()).toBeGreaterThanOrEqual(stopped)

  const [first] = workload.acknowledged
  await postgres.query('update workload.entry set payload = $2 where row_id = $1', [first!.row_id, 'damaged'])
  expect(await missingRows(postgres, workload.acknowledged)).toEqual([first!.row_id])
  await postgres.remove()
})

it('says when a statement fails for another reason than a server that is down', async () => {
  const postgres = await startPostgres()
  const workload = await startWorkload(postgres)
  await until('it writes', () => workload.acknowledged.length > 0)
  // Takes no lock that a writer holds, as DROP would, which then may be the one that ends in a deadlock.
  await postgres.query('alter schema workload rename to gone')
  await expect(workload.ended).rejects.toThrow(/workload/)
  await expect(workload.stop()).rejects.toThrow(/workload/)
  await postgres.remove()
})
