import { afterEach, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { Restores } from '../sandbox/restored.js'

let first: BackedUpServer
let second: BackedUpServer
let restores: Restores

afterEach(async () => {
  await restores.remove()
  await second.remove()
  await first.remove()
})

test('mix', async () => {
  first = await BackedUpServer.start({ initdb: ['--wal-segsize=1'], settings: { autovacuum: 'off' } })
  await first.postgres.query('create table written (n int, who text)')
  await first.backUp()
  second = await first.twin()
  restores = new Restores(first.s3, 'backups')
  for (let n = 1; n <= 6; n++) {
    const servers = n % 2 ? [first, second] : [second, first]
    for (const one of servers) {
      await one.postgres.query('insert into written values ($1, $2)', [n, one === first ? 'A' : 'B'])
      await one.storeAllWal()
    }
  }
  for (const k of first.bucket.keys().filter((k) => k.includes('/wal/')))
    console.log(k.slice(-43), first.bucket.current(k)!.storedAt.toISOString())
  const { stdout } = await restores.attempt(['--dry-run'])
  console.log(stdout)
  const server = await restores.recover()
  console.log(await server.query('select * from written'))
  console.log((await server.log()).split('\n').slice(-25).join('\n'))
})
