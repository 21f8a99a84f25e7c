import { describe, expect, test } from 'vitest'
import { isLoopback, parseListenAddress } from '../../src/observe/listen-address.js'

describe('an address to listen on', () => {
  test.each([
    ['127.0.0.1:8443', '127.0.0.1', 8443, true],
    ['127.1.2.3:1', '127.1.2.3', 1, true],
    ['localhost:80', 'localhost', 80, true],
    ['[::1]:8443', '::1', 8443, true],
    ['0.0.0.0:8443', '0.0.0.0', 8443, false],
    ['[::]:8443', '::', 8443, false],
    ['issuer.example.com:443', 'issuer.example.com', 443, false],
    ['127.0.0.1.example.com:443', '127.0.0.1.example.com', 443, false],
  ])('"%s" is read, and private or not', (text, host, port, loopback) => {
    expect(parseListenAddress(text)).toEqual({ host, port })
    expect(isLoopback({ host, port })).toBe(loopback)
  })

  test.each(['', '8443', ':8443', '127.0.0.1', '127.0.0.1:99999', '::1:8443', 'a b:1'])('"%s" is refused', (text) => {
    expect(() => parseListenAddress(text)).toThrow(expect.objectContaining({ code: 'bad_argument' }))
  })
})
