import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { scriptPieces, type ScriptPiece } from '../../src/sql-text/script.js'

async function piecesOf(script: Buffer | string, cuts: number[] = []): Promise<ScriptPiece[]> {
  const bytes = Buffer.from(script)
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  const chunks = [...places, bytes.length].map((end, at) => bytes.subarray(at === 0 ? 0 : places[at - 1], end))
  const all: ScriptPiece[] = []
  for await (const piece of scriptPieces(chunks)) {
    const last = all.at(-1)
    if (piece.kind === 'rows' && last?.kind === 'rows') last.rows = Buffer.concat([last.rows, piece.rows])
    else all.push(piece)
  }
  return all
}

const statements = async (script: string) =>
  (await piecesOf(script)).map((piece) => (piece.kind === 'statement' ? piece.sql : piece))

/** Each is one statement. */
const single = [
  `select 'a;b', 'it''s;', E'back\\\\slash\\';', U&'\\0041;'`,
  `create table "we;ird ""name" (a int default (1), b text)`,
  `create function f() returns text language sql as $$ select ';' $$`,
  `create function f() returns text language sql as $_x$ select $$;$$; -- ' $_x$`,
  `create or replace function f() returns int begin atomic select case when true then 1; end; select 2; end`,
  `create function begin.begin("end" int, begin int) returns int begin atomic select case begin when 1 then t.begin end from t; end`,
  `create function begin.atomic(begin int) returns int return begin + case when begin > 1 then 1 else 0 end`,
  `create rule r as on insert to t do instead (delete from a; delete from b)`,
  `select a$1$ from b -- what; 'ever\n where c = 1`,
  `select 1 /* ; /* nested; */ ; */ + 1`,
  `select 2 - -1, 4 / 2, '-' || $1`,
  `comment on table t is 'line\n\\connect other\n--\n-- Name: x;'`,
  `select 'ünïcode;', "spälte;" from "täble"`,
  `insert into t values ('copy from stdin;')`,
]

describe('a script of pg_dump', () => {
  test.each(single)('keeps a statement whole: %s', async (sql) => {
    expect(await statements(`${sql};\nselect 1;`)).toEqual([sql, 'select 1'])
  })

  test('is cut at the same places however it arrives', async () => {
    const rows = 'a\tb\n\n\\\\.\n\\N\t;\n'
    const script = `${single.join(';\n')};\nCOPY public.t (a, b) FROM stdin;\n${rows}\\.\n\n\\unrestrict x\nselect 2;\n`
    const whole = await piecesOf(script)
    expect(whole.map(({ kind }) => kind)).toEqual([
      ...single.map(() => 'statement'),
      'copy',
      'rows',
      'rows_end',
      'meta',
      'statement',
    ])
    expect(whole.find((piece) => piece.kind === 'rows')?.rows.toString()).toBe(rows)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(), { maxLength: 40 }), async (cuts) => {
        expect(await piecesOf(script, cuts)).toEqual(whole)
      }),
    )
  })

  test('has no rows in a COPY of an empty table', async () => {
    expect(await piecesOf('COPY t FROM stdin;\n\\.\nselect 1;')).toEqual([
      { kind: 'copy', sql: 'COPY t FROM stdin' },
      { kind: 'rows_end' },
      { kind: 'statement', sql: 'select 1', before: '' },
    ])
  })

  test('shows the comment in front of a statement', async () => {
    const script = '--\n-- Name: t; Type: TABLE\n--\n\ncreate table t ();\n\n--\n-- done\n--\n'
    expect(await piecesOf(script)).toEqual([
      { kind: 'statement', sql: 'create table t ()', before: '--\n-- Name: t; Type: TABLE\n--' },
    ])
  })

  test.each([
    ['select 1; select 2', 'in the middle of a statement'],
    [`select 'a;`, 'in the middle of a statement'],
    ['COPY t FROM stdin;\n1\n', 'in the middle of the rows of a COPY'],
  ])('that was cut short is refused: %j', async (script, what) => {
    await expect(piecesOf(script)).rejects.toMatchObject({
      code: 'script_invalid',
      message: expect.stringContaining(what) as string,
    })
  })

  test('that is no UTF-8 is refused', async () => {
    await expect(piecesOf(Buffer.from([0x73, 0xff, 0x3b]))).rejects.toMatchObject({ code: 'script_invalid' })
  })
})
