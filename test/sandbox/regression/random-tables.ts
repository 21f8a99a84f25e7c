import fc from 'fast-check'
import pg from 'pg'

/** A table that may be anything: SQL that makes it, and rows for it. */
export interface RandomTable {
  name: string
  columns: { name: string; type: string; dropped: boolean; indexed: boolean }[]
  /** values as text or arrays; null for NULL */
  rows: unknown[][]
  partitioned: boolean
  serial: boolean
  unlogged: boolean
  comment: string | null
}

/** Whatever a name may be: up to 63 bytes, and no NUL. */
const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter(isPossible)

function isPossible(text: string): boolean {
  return Buffer.byteLength(text) < 60 && !text.includes('\0') && text.isWellFormed()
}

const text = fc
  .oneof(
    fc.string({ unit: 'grapheme', maxLength: 40 }),
    fc.string({
      unit: fc.constantFrom('\\', '.', '\n', '\r', '\t', 'N', '"', "'", ',', '{', '}', ' ', '\b', '\v', ';', '$'),
    }),
    fc.string({ unit: 'binary' }),
  )
  .map((one) => one.replaceAll('\0', ' '))
  .filter((one) => one.isWellFormed())

const bytes = fc.uint8Array({ maxLength: 300 }).map((one) => `\\x${Buffer.from(one).toString('hex')}`)
const digits = (max: number) => fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 1, maxLength: max })
const date = fc.oneof(
  fc.constantFrom('infinity', '-infinity', '4713-01-01 BC'),
  fc.integer({ min: -700_000, max: 2_900_000 }).map((day) => new Date(day * 86_400_000).toISOString().slice(0, 10)),
)
const micros = fc.bigInt({ min: -(10n ** 15n), max: 10n ** 15n })

/** Of each type what a parameter of a query may be. */
const VALUES: Record<string, fc.Arbitrary<unknown>> = {
  int: fc.integer().map(String),
  bigint: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
  numeric: fc.oneof(
    fc.constantFrom('NaN', 'Infinity', '-Infinity', '-0', '1e-1000'),
    fc.tuple(digits(200), digits(200)).map(([whole, part]) => `-${whole}.${part}`),
  ),
  'numeric(12,4)': fc.tuple(digits(8), digits(4)).map(([whole, part]) => `${whole}.${part}`),
  float8: fc.double().map(String),
  real: fc.float({ noDefaultInfinity: true }).map(String),
  boolean: fc.boolean(),
  text,
  'char(7)': text.map((one) => [...one].slice(0, 7).join('')),
  varchar: text,
  '"char"': fc.constantFrom('', 'a', '\\', '\t', '\n'),
  bytea: bytes,
  date,
  timestamptz: fc.oneof(
    date,
    micros.map((one) => new Date(Number(one / 1000n)).toISOString()),
  ),
  interval: fc
    .tuple(fc.integer({ min: -9999, max: 9999 }), micros)
    .map(([months, us]) => `${months} months ${us} microseconds`),
  uuid: fc.uuid(),
  json: fc.json().map((one) => one.replaceAll('\\u0000', '')),
  jsonb: fc.json().map((one) => one.replaceAll('\\u0000', '').replaceAll(/\\ud[89a-f][0-9a-f]{2}/gi, '')),
  inet: fc.oneof(fc.ipV4(), fc.ipV6()),
  'bit varying': fc.string({ unit: fc.constantFrom('0', '1') }),
  'text[]': fc.array(fc.option(text), { maxLength: 6 }),
  'int[]': fc.array(fc.array(fc.option(fc.integer()), { minLength: 2, maxLength: 2 }), { maxLength: 4 }),
  int8range: fc.tuple(fc.bigInt({ min: -(2n ** 40n), max: 0n }), fc.nat()).map(([from, to]) => `(${from},${to}]`),
  datemultirange: fc.constantFrom('{}', '{(,)}', '{[2026-01-01,2026-02-01),[2027-01-01,infinity)}'),
  point: fc.tuple(fc.double(), fc.double()).map(([x, y]) => `(${x},${y})`),
}

const column = fc.record({
  name,
  type: fc.constantFrom(...Object.keys(VALUES)),
  dropped: rarely(5),
  indexed: rarely(3),
})

function rarely(oneIn: number): fc.Arbitrary<boolean> {
  return fc.nat({ max: oneIn - 1 }).map((one) => one === 0)
}

const table: fc.Arbitrary<RandomTable> = fc
  .uniqueArray(column, { maxLength: 14, selector: (one) => one.name })
  .chain((columns) =>
    fc.record({
      name,
      columns: fc.constant(columns),
      rows: fc.array(
        fc.tuple(...columns.map(({ type }) => fc.option(VALUES[type]!, { freq: 6 }))) as fc.Arbitrary<unknown[]>,
        { maxLength: 25 },
      ),
      partitioned: rarely(4),
      serial: rarely(3),
      unlogged: rarely(8),
      comment: fc.option(text),
    }),
  )

/** Several at once, so that one dump proves many. */
export const randomTables = fc.record({
  schema: name.filter((one) => !one.startsWith('pg_')),
  tables: fc.uniqueArray(table, { minLength: 15, maxLength: 25, selector: (one) => one.name, size: 'max' }),
})

const quoted = (one: string): string => pg.escapeIdentifier(one)

/** Makes a table and fills it. */
export async function makeTable(client: pg.Client, schema: string, random: RandomTable): Promise<void> {
  const { columns, rows, serial, unlogged, comment } = random
  const sql = `${quoted(schema)}.${quoted(random.name)}`
  const by = random.partitioned ? columns.find(({ type, dropped }) => type === 'int' && !dropped) : undefined
  const list = columns.map((one) => `${quoted(one.name)} ${one.type}`)
  if (serial) list.push('"its serial" serial')
  const partition = by ? `partition by hash (${quoted(by.name)})` : ''
  await client.query(`create ${unlogged && !by ? 'unlogged' : ''} table ${sql} (${list.join(', ')}) ${partition}`)
  for (const remainder of by ? [0, 1] : []) {
    const part = `${quoted(schema)}.${quoted(`${remainder}${random.name}`)}`
    await client.query(`create table ${part} partition of ${sql} for values with (modulus 2, remainder ${remainder})`)
  }
  for (const row of rows) {
    const places = columns.map(({ type }, at) => `$${at + 1}::${type}`).join(', ')
    const into = columns.map((one) => quoted(one.name)).join(', ')
    if (columns.length === 0) await client.query(`insert into ${sql} default values`)
    else await client.query(`insert into ${sql} (${into}) values (${places})`, row)
  }
  for (const { name: key, type, indexed } of columns) {
    if (indexed && /^(int|bigint|uuid|date|inet|numeric)$/.test(type))
      await client.query(`create index on ${sql} (${quoted(key)})`)
  }
  const dropped = columns.filter((one) => one.dropped && one !== by)
  if (dropped.length > 0)
    await client.query(`alter table ${sql} ${dropped.map((one) => `drop ${quoted(one.name)}`).join(', ')}`)
  if (comment !== null && comment !== '') await client.query(`comment on table ${sql} is ${pg.escapeLiteral(comment)}`)
}
