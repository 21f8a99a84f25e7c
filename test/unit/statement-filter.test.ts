import { expect, test } from 'vitest'
import { needsTableAlone, withoutTablespace } from '../../src/keyholder/dumps/statement-filter.js'

test.each([
  'CREATE INDEX i ON public.t USING btree (a, lower((b)::text) COLLATE "C") WHERE (c > 1.5)',
  'CREATE UNIQUE INDEX "on.x" ON ONLY "We.ird"."t.""x" USING gin (a gin_trgm_ops, (pg_catalog.upper(b)))',
  'ALTER TABLE ONLY public.t ADD CONSTRAINT k PRIMARY KEY (a)',
  "ALTER TABLE ONLY public.t ADD CONSTRAINT k EXCLUDE USING gist (a WITH =) WHERE ((b <> 'x.y'::text))",
])('an index of what Postgres has itself needs its table alone: %s', (sql) => {
  expect(needsTableAlone(sql)).toBe(true)
})

test.each([
  'CREATE INDEX i ON public.t USING btree (public.f(a))',
  'CREATE INDEX i ON public.t USING btree ("Sch".f(a))',
  'CREATE INDEX i ON public.t USING btree (a) WHERE (public.f(a) = 1)',
  'CREATE INDEX i ON public.t USING btree (((a OPERATOR(public.+) 1)))',
  'CREATE INDEX i ON public.t USING btree (a public.my_ops)',
  'CREATE INDEX i ON public.t USING btree (((a)::public.d))',
  'ALTER TABLE ONLY public.t ADD CONSTRAINT k EXCLUDE USING gist (public.f(a) WITH =)',
])('an index that names something of the user’s may need more: %s', (sql) => {
  expect(needsTableAlone(sql)).toBe(false)
})

test('a database is made in no tablespace of its own, and the rest of it stays', () => {
  const sql = `CREATE DATABASE "tablespace = x" WITH TEMPLATE = template0 ENCODING = 'UTF8'`
  expect(withoutTablespace(`${sql} LOCALE = 'C' TABLESPACE = "Quick one"`)).toBe(`${sql} LOCALE = 'C'`)
  expect(withoutTablespace(sql)).toBe(sql)
})
