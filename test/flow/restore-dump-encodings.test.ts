import { expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { databaseText, firstDifference } from '../sandbox/client/database-text.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { postboxOk } from '../sandbox/command.js'

const bin = await clientPrograms()

/** Names and rows with a letter that each encoding has; without an encoding also bytes that are no letters at all. */
const MADE: Record<string, string> = {
  LATIN1: `create table "é" ("É" text default 'è'); insert into "é" values ('ü'), (E'\\xff\\\\'); comment on table "é" is 'ô'`,
  EUC_JP: `create table "表" ("能" text default 'ソ'); insert into "表" values ('ソ表'), (E'能\\\\'); comment on table "表" is '予'`,
  SQL_ASCII: `create table "é" ("É" text default E'è\\xfe'); insert into "é" values ('ü'), (E'\\xff\\xfe\\\\'); comment on table "é" is E'ô\\xe9';
    comment on database postgres is E'ô\\xff'`,
}

/** Hashes of bytes. */
const SAID = `select md5(obj_description(c.oid)) as comment, md5(pg_get_expr(d.adbin, d.adrelid)) as preset,
    (select md5(shobj_description(oid, 'pg_database')) from pg_database where datname = current_database()) as database
  from pg_class c join pg_attrdef d on d.adrelid = c.oid where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'`

test.skipIf(bin === null).each(Object.keys(MADE))('a database in %s comes back as it was', async (encoding) => {
  const initdb = [`--encoding=${encoding}`, '--no-locale']
  const backedUp = await BackedUpServer.start({ initdb, workerEnv: { PATH: bin! } })
  try {
    const { postgres } = backedUp
    await postgres.query('grant pg_read_all_data to postbox_worker')
    await postgres.query(MADE[encoding]!)
    const [row] = await postgres.query<{ id: string }>('select backup.start_dump() id')
    expect(await backedUp.ended(BigInt(row!.id))).toMatchObject({ state: 'done' })
    const url = postgres.url({ database: 'copy' })
    await postboxOk(['restore-dump', '--server', 'db1', '--database-url', url, '--create'], backedUp.keyholderEnv)
    const texts = await Promise.all(['postgres', 'copy'].map((name) => databaseText(bin!, postgres, name)))
    expect(texts[0]!.join('\n')).toContain('COPY')
    expect(firstDifference(texts[0]!, texts[1]!)).toBeNull()
    // What is no character looks alike to us.
    const said = await Promise.all(['postgres', 'copy'].map((database) => postgres.query(SAID, [], { database })))
    expect(said[1]).toEqual(said[0])
    expect(said[0]).toHaveLength(1)
  } finally {
    await backedUp.remove()
  }
})
