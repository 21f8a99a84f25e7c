/** How much is taken on before its turn to be yielded. */
export interface Room<In> {
  atOnce: number
  /** upper limit for the sum of `bytesOf` over what is taken on; one item is always taken, however large */
  bytes?: number
  bytesOf?: (item: In) => number
}

/**
 * Runs `work` on several items at once and yields the results in the items' order.
 *
 * An item counts until the one after it is asked for. When the consumer stops early, or a `work` fails, what is running
 * is waited for, so that nothing goes on behind its back.
 */
export async function* inOrder<In, Out>(
  items: Iterable<In> | AsyncIterable<In>,
  room: Room<In>,
  work: (item: In) => Promise<Out>,
): AsyncGenerator<Out> {
  const running: { result: Promise<Out>; bytes: number }[] = []
  const bytesOf = room.bytesOf ?? (() => 0)
  let bytes = 0
  const release = () => {
    bytes -= running.shift()!.bytes
  }
  try {
    for await (const item of items) {
      const size = bytesOf(item)
      while (running.length >= room.atOnce || (running.length > 0 && bytes + size > (room.bytes ?? Infinity))) {
        yield await running[0]!.result
        release()
      }
      const result = work(item)
      // It is awaited in its turn; until then a failure must not count as unhandled.
      result.catch(() => undefined)
      running.push({ result, bytes: size })
      bytes += size
    }
    while (running.length > 0) {
      yield await running[0]!.result
      release()
    }
  } finally {
    await Promise.allSettled(running.map((one) => one.result))
  }
}
