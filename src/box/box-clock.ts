import { Agent, request } from 'undici'

const TIMEOUT_MS = 10_000

/**
 * How far the clock of the service at `url` is ahead of ours, to the second; null when it does not say. Whatever it answers
 * is good for that: nothing is signed. Throws what undici says when it does not answer.
 */
export async function boxClockAheadMs(
  url: string,
  ca: string | undefined,
  signal: AbortSignal,
): Promise<number | null> {
  const agent = new Agent({
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS,
    connect: { timeout: TIMEOUT_MS, ...(ca === undefined ? {} : { ca }) },
  })
  try {
    const { headers, body } = await request(url, { method: 'HEAD', dispatcher: agent, signal })
    await body.dump()
    const date = Date.parse(String(headers['date'] ?? ''))
    return Number.isNaN(date) ? null : date - Date.now()
  } finally {
    await agent.destroy()
  }
}
