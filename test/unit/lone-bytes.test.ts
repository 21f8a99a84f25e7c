import { expect, test } from 'vitest'
import { bytesOf, hasLoneBytes, withLoneBytes } from '../../src/sql-text/lone-bytes.js'

const read = (bytes: Buffer): string => withLoneBytes(bytes.toString('latin1'))

test('text that is UTF-8 is read as it is', () => {
  const text = 'a é 表 \u{1f600} \u07ff\u0800\ud7ff\ue000\uffff\u{10000}\u{10ffff}'
  expect(read(Buffer.from(text))).toBe(text)
  expect(hasLoneBytes(text)).toBe(false)
  expect(bytesOf(text)).toEqual(Buffer.from(text))
})

test('bytes that are no character come out as they went in, and the text around them is read', () => {
  const bad = [[0xff], [0xc3], [0xc0, 0xaf], [0xe0, 0x80, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0x80]]
  for (const bytes of bad.map((one) => Buffer.concat([Buffer.from('é'), Buffer.from(one), Buffer.from('表')]))) {
    const text = read(bytes)
    expect(text).toMatch(/^é.+表$/s)
    expect([hasLoneBytes(text), bytesOf(text)]).toEqual([true, bytes])
  }
})
