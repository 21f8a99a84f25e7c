import { once } from 'node:events'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { postgresVersions } from '../sandbox/postgres.js'
import { installedServer } from './installed-server.js'

const refusals: [what: string, column: string, expression: string, reason: RegExp][] = [
  ['a column without its schema', 'users.email', `'x'`, /no column/],
  ['a column that is not there', 'app.users.mail', `'x'`, /no column/],
  ['a generated column', 'app.users.twice', '1', /no column/],
  ['a column of a view', 'app.adults.email', `'x'`, /no column/],
  ['a column of our own', 'backup._job.phase', `'x'`, /no column/],
  ['a name that is none', 'app.', `'x'`, /no column/],
  ['nothing', 'app.users.email', ' ', /it is empty/],
  ['a null for a column that is not null', 'app.users.email', 'null', /gives null/],
  ['a null in one row', 'app.users.email', 'age::text', /gives null/],
  ['a value of another type', 'app.users.born', `'x'`, /invalid input syntax for type date/],
  ['an unknown column', 'app.users.email', 'name', /does not exist/],
  ['an unknown function', 'app.users.email', 'hide(email)', /does not exist/],
  ['what fails for a row', 'app.users.age', '1 / (age - 30)', /division by zero/],
  ['a sum of all rows', 'app.users.email', 'max(email)', /aggregate/],
  ['a number of the row', 'app.users.age', 'row_number() over ()', /window/],
  ['many rows', 'app.users.age', 'generate_series(1, 2)', /set-returning/],
  ['a second statement', 'app.users.email', `'x'; drop table app.users`, /semicolon/],
  ['the end of the query', 'app.users.email', `'x') from app.users where (true`, /parentheses/],
  ['a comment', 'app.users.email', `'x' --`, /comment/],
  ['an open string', 'app.users.email', `'x`, /quote is open/],
  ['an open name', 'app.users.email', `"email`, /quote is open/],
  ['an open parenthesis', 'app.users.email', `(('x')`, /parentheses/],
  ['a string with escapes', 'app.users.email', `E'a'\n'\\' || '; drop table app.users; --'`, /escapes/],
  ['a string in dollars', 'app.users.email', `$$x$$`, /dollar/],
]

describe.each(postgresVersions)('masks on Postgres %i', (version) => {
  const catalog = installedServer(version)
  const mask = (column: string, expression: string | null, user = 'olga') =>
    catalog.rows('select backup.mask($1, $2)', [column, expression], user)
  const masks = () => catalog.rows('select column_name, expression, set_by from backup.masks order by 1', [], 'mona')
  const resolved = () =>
    catalog.rows(`select relation::regclass::text as table, column_name, expression from backup._masks() order by 1, 2`)

  beforeAll(async () => {
    await catalog.rows(`create schema app;
      create table app.users (id int primary key, age int, email varchar(30) not null, born date, twice int generated always as (age * 2) stored);
      insert into app.users values (1, 30, 'a@example.org', null), (2, null, 'b@example.org', null);
      create view app.adults as select * from app.users;
      create table app.log (at date, "who) is" text, who text) partition by range (at);
      create table app.log_2026 partition of app.log for values from ('2026-01-01') to ('2027-01-01');
      create table app.heir () inherits (app.users);
      grant usage on schema app to olga; grant select on all tables in schema app to olga`)
  })
  beforeEach(async () => {
    await catalog.rows('delete from backup._mask; delete from backup._masked_column')
  })

  test.each(refusals)('%s is refused when it is set', async (_what, column, expression, reason) => {
    const { code, message, hint } = await catalog.error('select backup.mask($1, $2)', [column, expression], 'olga')
    expect({ code, message }).toEqual({ code: 'PB001', message: expect.stringMatching(reason) as string })
    expect(hint).toBeTruthy()
    // Nor does who leaves the trial out get further than a text that is one expression.
    if (/semicolon|parentheses|comment|quote|escapes|dollar/.test(message)) {
      const again = await catalog.error('select backup._set_mask($1, $2)', [column, expression], 'olga')
      expect(again).toMatchObject({ code: 'PB001', message })
    }
    expect(await masks()).toEqual([])
  })

  test('every row is tried when it is set, those behind a null too; where there are too many it is said', async () => {
    await catalog.rows(`create table app.many as select nullif(n, 1) as n from generate_series(1, 3000) n;
      grant select on app.many to olga`)
    const set = async () => (await catalog.session('olga')).query(`select backup.mask('app.many.n', '1 / (n - 3000)')`)
    await expect(set()).rejects.toMatchObject({
      code: 'PB001',
      message: "'1 / (n - 3000)' cannot be used for app.many: division by zero",
    })
    await catalog.rows(
      `delete from app.many where n = 3000; update pg_class set reltuples = 2e6 where relname = 'many'`,
    )
    const session = await catalog.session('olga')
    const notice = once(session, 'notice')
    await set()
    expect((await notice) as Error[]).toMatchObject([
      { message: expect.stringMatching(/first 1000000 of about 2000000 rows of app.many: one that it fails for/) },
    ])
    await catalog.rows('drop table app.many')
  })

  test.each([
    `'x' || id || '@example.org'`,
    `case when age > 18 then 'it''s; --' else '(' end`,
    `regexp_replace(email, '(.*)@', 'x@')`,
    `coalesce((select 'a' where users.id = 1), 'b')`,
    `left(md5("email"), 30)`,
    `U&'d\\0061t' || ''`,
    `to_char(date'2026-01-01', 'YYYY')`,
  ])('%s can be set, changed and taken away', async (expression) => {
    await mask('app.users.email', `'other'`)
    await mask('app.users.email', expression)
    expect(await masks()).toEqual([{ column_name: 'email', expression, set_by: 'olga' }])
    await mask('app.users.email', null)
    expect(await masks()).toEqual([])
    expect(await catalog.error('select backup.mask($1, null)', ['app.users.email'], 'olga')).toMatchObject({
      code: 'PB001',
    })
  })

  test('a mask is tried with the rights of who sets it', async () => {
    await catalog.rows('revoke select on app.users from olga')
    const error = await catalog.error(`select backup.mask('app.users.email', $$'x'$$)`, [], 'olga')
    expect(error).toMatchObject({ code: 'PB001', message: expect.stringMatching(/permission denied/) as string })
    await catalog.rows('grant select on app.users to olga')
  })

  test('a mask holds for partitions and heirs, where none of their own is set', async () => {
    await mask('app.users.email', `'parent'`)
    await mask('app.log."who) is"', 'null')
    await mask('app.heir.email', `'own'`, 'postgres')
    const all = [
      { table: 'app.heir', column_name: 'email', expression: `'own'` },
      { table: 'app.log', column_name: 'who) is', expression: 'null' },
      { table: 'app.log_2026', column_name: 'who) is', expression: 'null' },
      { table: 'app.users', column_name: 'email', expression: `'parent'` },
    ]
    expect(await resolved()).toEqual(all)
  })

  test('a mask whose column has got another name ends masked dumps, and can still be taken away', async () => {
    await mask('app.users.born', 'null')
    await catalog.rows('alter table app.users rename column born to birthday')
    expect(await catalog.error('select * from backup._masks()', [], 'walt')).toMatchObject({
      code: 'PB001',
      message: 'the mask of app.users.born finds no column',
    })
    await mask('app.users.born', null)
    expect((await catalog.error('select * from backup._masks()')).message).toMatch(
      /^app.users.birthday holds what the mask of app.users.born covered/,
    )
    await mask('app.users.birthday', null)
    expect(await resolved()).toEqual([])
    await catalog.rows('alter table app.users rename column birthday to born')
  })

  test.each([
    ['a partition leaves its table', 'alter table app.log detach partition app.log_2026', 'app.log_2026.who'],
    ['an heir leaves its table', 'alter table app.heir no inherit app.users', 'app.heir.email'],
    [
      'a table makes room for another',
      'alter table app.users rename to users_old; create table app.users (like app.users_old)',
      'app.users_old.email',
    ],
    [
      'a column makes room for another',
      'alter table app.users rename email to email_old; alter table app.users add email text',
      'app.users.email_old',
    ],
    [
      'a table gets into another schema',
      'alter table app.heir no inherit app.users; alter table app.heir set schema public',
      'public.heir.email',
    ],
  ])('what was masked and is no more ends masked dumps: %s', async (_what, ddl, bare) => {
    await mask('app.users.email', `'x'`)
    await mask('app.log.who', `'x'`)
    const covered = await catalog.value<object>('select json_agg(m) from backup._masks() m')
    await catalog.rows('begin')
    try {
      await catalog.rows(ddl)
      // As each masked dump does, which must not forget it.
      await catalog.rows('select backup._remember_masked($1)', [JSON.stringify(covered)], 'postgres')
      await catalog.rows('savepoint before')
      const { code, message, hint } = await catalog.error('select * from backup._masks()')
      expect({ code, message }).toEqual({
        code: 'PB001',
        message: expect.stringContaining(`${bare} holds what`) as string,
      })
      expect(hint).toContain(`select backup.mask('${bare}', null)`)
      await catalog.rows('rollback to before')
      await mask(bare, `'y'`, 'postgres')
      expect(await resolved()).toContainEqual(expect.objectContaining({ expression: `'y'` }))
      await catalog.rows('rollback to before')
      await mask(bare, null, 'postgres')
      expect(await resolved()).not.toEqual([])
    } finally {
      await catalog.rows('rollback')
    }
  })

  test('what was masked and is dropped is forgotten, and so is what a copy of the catalog brings of another database', async () => {
    await catalog.rows('create table app.short (a text, b text); grant select on app.short to olga')
    for (const column of ['a', 'b']) await mask(`app.short.${column}`, `'x'`)
    await mask('app.users.email', `'x'`)
    await catalog.rows(`alter table app.short drop a; alter table app.short add a text; create table app.strange (n int);
      insert into backup._masked_column values ('app.strange'::regclass, 1, 'app.other.n', 'pg_class'::regclass)`)
    expect(await resolved()).toHaveLength(4)
    await mask('app.short.b', `'y'`)
    const kept = `select k.relation::regclass::text as table, k.attnum from backup._masked_column k
      where k.relation = any ('{app.short,app.strange}'::regclass[]) order by 2`
    expect(await catalog.rows(kept)).toEqual([2, 3].map((attnum) => ({ table: 'app.short', attnum })))
    await catalog.rows('drop table app.short, app.strange; delete from backup._mask')
  })

  test('a column that another mask covers is no secret less when it has lost its own', async () => {
    await mask('app.users.email', `'parent'`)
    expect(await catalog.error('select backup.mask($1, null)', ['app.heir.email'], 'olga')).toMatchObject({
      message: 'there is no mask of app.heir.email',
    })
    await catalog.rows('alter table app.heir no inherit app.users')
    expect((await catalog.error('select * from backup._masks()')).message).toMatch(/^app.heir.email holds/)
    await catalog.rows('alter table app.heir inherit app.users')
    expect(await resolved()).toHaveLength(2)
  })
})
