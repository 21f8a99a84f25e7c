import { expect, test } from 'vitest'
import { sameProvider } from '../../src/box/redirect.js'

test.each([
  ['https://b.s3.amazonaws.com/', 'https://b.s3-us-west-2.amazonaws.com/'],
  ['https://b.s3.eu-west-1.amazonaws.com/', 'https://b.s3.eu-central-1.amazonaws.com/x'],
  ['https://b.s3.cn-north-1.amazonaws.com.cn/', 'https://b.s3.cn-northwest-1.amazonaws.com.cn/'],
  ['https://s3.example.com/b', '/b/'],
  ['https://s3.example.com/b', 'https://s3.example.com:8443/b'],
  ['http://127.0.0.1:9000/b', 'http://localhost:9001/b'],
  ['http://127.0.0.1:9000/b', 'http://[::1]:9001/b'],
])('%s may send its form on to %s', (from, to) => {
  expect(sameProvider(from, to)).toBe(true)
})

test.each([
  ['https://b.s3.amazonaws.com/', 'http://b.s3.amazonaws.com/'],
  ['https://b.s3.amazonaws.com/', 'https://b.s3.amazonaws.com.evil.example/'],
  ['https://b.s3.amazonaws.com/', 'https://notamazonaws.com/'],
  ['https://b.s3.amazonaws.com/', 'https://user@b.s3.amazonaws.com/'],
  ['https://s3.example.co.uk/b', 'https://s3.evil.co.uk/b'],
  ['https://10.0.0.1/b', 'https://10.0.0.2/b'],
  ['https://10.0.0.1/b', 'https://127.0.0.1/b'],
  ['http://127.0.0.1/b', 'http://127.0.0.1.example.com/b'],
  ['https://s3.example.com/b', 'https://'],
])('%s does not send its form on to %s', (from, to) => {
  expect(sameProvider(from, to)).toBe(false)
})
