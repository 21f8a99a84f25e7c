import { describe, expect, test } from 'vitest'
import { parseNames, partsOf } from '../../src/sql-text/names.js'
import { subjectOf, tiedSequences } from '../../src/sql-text/subject.js'

/** As pg_dump writes them. */
const statements: [sql: string, subject: string | null][] = [
  ['CREATE TABLE public.orders (\n    id integer NOT NULL\n)', 'table public.orders'],
  ['CREATE UNLOGGED TABLE s."We""ird, na.me" ()', 'table s.We"ird, na.me'],
  ['CREATE FOREIGN TABLE s.f (a integer)\nSERVER x', 'table s.f'],
  ['ALTER TABLE public.orders OWNER TO bob', 'table public.orders'],
  ["ALTER TABLE ONLY public.orders ALTER COLUMN id SET DEFAULT nextval('public.s'::regclass)", 'table public.orders'],
  ['ALTER TABLE IF EXISTS ONLY public.orders DROP CONSTRAINT IF EXISTS orders_pkey', 'table public.orders'],
  ['ALTER TABLE ONLY public.p ATTACH PARTITION public.c FOR VALUES IN (1)', 'table public.p needs public.c'],
  [
    'ALTER TABLE ONLY public.a\n    ADD CONSTRAINT f FOREIGN KEY (b) REFERENCES sales."B"(id)',
    'table public.a needs sales.B',
  ],
  ['CREATE UNIQUE INDEX "on" ON ONLY public.orders USING btree (id)', 'table public.orders'],
  ['CREATE INDEX i ON public.orders USING gin (to_tsvector(\'english\', "on"))', 'table public.orders'],
  [
    'CREATE CONSTRAINT TRIGGER t AFTER INSERT OR UPDATE OF a, "on" ON public.orders FROM public.b',
    'table public.orders',
  ],
  ['CREATE RULE r AS\n    ON INSERT TO public.orders DO INSTEAD NOTHING', 'table public.orders'],
  ['CREATE POLICY p ON public.orders FOR SELECT TO bob USING (true)', 'table public.orders'],
  ['CREATE STATISTICS public.st (ndistinct) ON a, b FROM public.orders', 'table public.orders'],
  ['CREATE SEQUENCE public.s\n    START WITH 1', 'sequence public.s'],
  ['ALTER SEQUENCE public.s OWNED BY public.orders.id', 'sequence public.s needs public.orders'],
  ['ALTER SEQUENCE public.s OWNER TO bob', 'sequence public.s'],
  ['ALTER INDEX public.p_pkey ATTACH PARTITION public.c_pkey', 'index public.p_pkey'],
  ["COMMENT ON TABLE public.orders IS 'on table public.x'", 'table public.orders'],
  ['COMMENT ON COLUMN public.orders."i.d" IS NULL', 'table public.orders'],
  ["COMMENT ON CONSTRAINT c ON public.orders IS 'x'", 'table public.orders'],
  ["COMMENT ON CONSTRAINT c ON DOMAIN public.d IS 'x'", null],
  ["COMMENT ON INDEX public.i IS 'x'", 'index public.i'],
  ["COMMENT ON SCHEMA public IS 'x'", null],
  ["SECURITY LABEL FOR dummy ON COLUMN public.orders.id IS 'secret'", 'table public.orders'],
  ['GRANT SELECT(id),INSERT ON TABLE public.orders TO bob', 'table public.orders'],
  ['REVOKE ALL ON SEQUENCE public.s FROM PUBLIC', 'sequence public.s'],
  ['GRANT USAGE ON SCHEMA sales TO bob', null],
  ["SELECT pg_catalog.setval('public.\"It''s\"', 7, true)", "sequence public.It's"],
  ["SELECT pg_catalog.lo_create('16385')", null],
  ['DROP TABLE IF EXISTS public.orders', 'table public.orders'],
  ['DROP INDEX IF EXISTS public.i', 'index public.i'],
  ['DROP TRIGGER IF EXISTS t ON public.orders', 'table public.orders'],
  ['DROP SCHEMA IF EXISTS sales', null],
  ['CREATE FUNCTION public.f() RETURNS integer LANGUAGE sql AS $$ select 1 $$', null],
  ["CREATE TYPE public.orders AS ENUM ('a')", null],
  ['SET default_table_access_method = heap', null],
]

describe('a statement of pg_dump', () => {
  test.each(statements)('tells what it is about: %s', (sql, expected) => {
    const subject = subjectOf(sql)
    const needs = subject?.needs ? ` needs ${partsOf(subject.needs).join('.')}` : ''
    expect(subject && `${subject.kind} ${partsOf(subject.name).join('.')}${needs}`).toBe(expected)
  })

  test.each([
    ['ALTER SEQUENCE public.s OWNED BY public."T".id', [['public.s', 'public.T']]],
    [`ALTER TABLE ONLY x.t ALTER COLUMN id SET DEFAULT nextval('y."S"'::regclass)`, [['y.S', 'x.t']]],
    [
      'ALTER TABLE x.t ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (\n    SEQUENCE NAME x.t_id_seq\n    START WITH 1)',
      [['x.t_id_seq', 'x.t']],
    ],
    ['CREATE TABLE x.t (id integer)', []],
  ])('tells which sequences are a table’s: %s', (sql, expected) => {
    const ties = tiedSequences(sql).map(({ sequence, table }) => [
      partsOf(sequence).join('.'),
      partsOf(table).join('.'),
    ])
    expect(ties).toEqual(expected)
  })
})

describe('names that a person gives', () => {
  test.each([
    ['orders', [[null, 'orders']]],
    [
      'Orders, Sales."Weird, ""name"""',
      [
        [null, 'orders'],
        ['sales', 'Weird, "name"'],
      ],
    ],
    ['"ünï.cöde"', [[null, 'ünï.cöde']]],
  ])('are read as in SQL: %s', (text, expected) => {
    expect(parseNames(text)?.map(({ schema, name }) => [schema, name])).toEqual(expected)
  })

  test.each(['', 'a,', ',a', 'a.b.c', 'a b', 'a;', '1a', "'a'", 'a.', '.a', '""'])('are refused: %j', (text) => {
    expect(parseNames(text)).toBeNull()
  })
})
