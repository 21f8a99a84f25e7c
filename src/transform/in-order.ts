/**
 * Runs `work` on several items at once and yields the results in the items' order, each as soon as it is its turn.
 *
 * `atOnce` counts items that were taken and not yet yielded. When the source fails, what was taken is yielded before that
 * is thrown. When this ends before the source, the source is told to return, and not waited for: it may be waiting for an
 * item that never comes, and then whoever stops early must end it.
 */
export async function* inOrder<In, Out>(
  items: AsyncIterable<In>,
  atOnce: number,
  work: (item: In) => Promise<Out>,
): AsyncGenerator<Out> {
  const source = items[Symbol.asyncIterator]()
  const running: Promise<Out>[] = []
  let next: Promise<IteratorResult<In>> | null = null
  let ended = false
  let failure: { thrown: unknown } | null = null
  try {
    for (;;) {
      if (!ended && running.length < atOnce) next ??= source.next()
      const head = running[0]
      if (!next && !head) break
      const first = await Promise.race([
        ...(next ? [next.then((item) => ({ item }), failed)] : []),
        ...(head ? [head.then((result) => ({ result }))] : []),
      ])
      if ('result' in first) {
        void running.shift()
        yield first.result
      } else {
        next = null
        if ('thrown' in first) {
          failure = first
          ended = true
        } else if (first.item.done === true) {
          ended = true
        } else {
          const result = work(first.item.value)
          // It is awaited in its turn; until then a failure must not count as unhandled.
          result.catch(() => undefined)
          running.push(result)
        }
      }
    }
    if (failure) throw failure.thrown
  } finally {
    // What it holds is freed in a `finally` of its own.
    if (!ended) source.return?.().catch(() => undefined)
  }
}

const failed = (thrown: unknown): { thrown: unknown } => ({ thrown })
