import type { ListObjectVersionsCommandOutput } from '@aws-sdk/client-s3'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { asObject, VersionPages } from '../../src/keyholder/object-versions.js'

interface Entry {
  Key: string
  VersionId: string
  /** null: a delete marker */
  Size: number | null
  LastModified: Date
  IsLatest: boolean
}

const histories = fc.dictionary(
  fc.stringMatching(/^[a-c]{1,3}$/),
  fc.array(fc.option(fc.nat({ max: 99 }), { freq: 3 }), { minLength: 1, maxLength: 4 }),
)

/** All entries as S3 lists them: keys ascending, the newest version of each first. Times have whole seconds. */
function listing(history: Record<string, (number | null)[]>): Entry[] {
  return Object.keys(history)
    .sort()
    .flatMap((Key) => {
      const sizes = history[Key]!
      return sizes
        .map((Size, index) => ({
          Key,
          VersionId: `v${index}`,
          Size,
          LastModified: new Date(Math.floor(index / 2) * 1000),
          IsLatest: index === sizes.length - 1,
        }))
        .reverse()
    })
}

function pages(entries: readonly Entry[], pageSize: number): ListObjectVersionsCommandOutput[] {
  const result: ListObjectVersionsCommandOutput[] = []
  for (let at = 0; at === 0 || at < entries.length; at += pageSize) {
    const page = entries.slice(at, at + pageSize)
    result.push({
      $metadata: {},
      IsTruncated: at + pageSize < entries.length,
      NextKeyMarker: page.at(-1)?.Key,
      EncodingType: 'url',
      Versions: page.filter((one) => one.Size !== null).map((one) => ({ ...one, Size: one.Size! })),
      DeleteMarkers: page.filter((one) => one.Size === null),
    })
  }
  return result
}

describe('objects by their versions', () => {
  test('are the earliest version of each key that is not deleted, wherever pages are cut', () => {
    fc.assert(
      fc.property(histories, fc.integer({ min: 1, max: 7 }), (history, pageSize) => {
        const reader = new VersionPages()
        const found = pages(listing(history), pageSize)
          .flatMap((page) => [...reader.add(page)].map(asObject))
          .filter((one) => one !== null)
        const expected = Object.keys(history)
          .sort()
          .filter((key) => history[key]!.at(-1) !== null)
          .map((key) => {
            const first = history[key]!.findIndex((size) => size !== null)
            const sizes = history[key]!.filter((size) => size !== null)
            return {
              key,
              bytes: history[key]![first],
              versionId: `v${first}`,
              laterVersions: sizes.length - 1,
              storedOver: new Set(sizes).size > 1,
            }
          })
        expect(found).toEqual(expected.map((object) => expect.objectContaining(object)))
      }),
    )
  })

  test('have no version where the bucket keeps none', () => {
    const version = { Key: 'a%20b', VersionId: 'null', Size: 1, LastModified: new Date(0), IsLatest: true }
    const page = { $metadata: {}, IsTruncated: false, EncodingType: 'url' as const, Versions: [version] }
    const [key] = new VersionPages().add(page)
    const object = asObject(key!)
    expect(object).toMatchObject({ key: 'a b', versionId: null, laterVersions: 0 })
  })
})
