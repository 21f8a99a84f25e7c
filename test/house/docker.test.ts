import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { commands } from '../../src/commands/registry.js'
import { importGraph, reachedFrom } from './import-graph.js'
import { filesIn, sources } from './source-files.js'

const ROOT = join(import.meta.dirname, '../..')

interface Service {
  image: string
  command?: string[]
  environment?: Record<string, string>
  healthcheck?: { test?: string[]; disable?: boolean }
  volumes?: string[]
  ports?: string[]
  user?: string
  read_only?: boolean
  cap_drop?: string[]
  security_opt?: string[]
  depends_on?: Record<string, { condition: string }>
}

const { services, volumes } = parse(readFileSync(join(ROOT, 'docker/compose.yaml'), 'utf8'), { merge: true }) as {
  services: Record<string, Service>
  volumes: Record<string, null>
}
const named = Object.entries(services).map(([name, service]) => ({ name, service }))
const once = ['secrets', 'catalog']

describe('docker/compose.yaml', () => {
  it('has PostgreSQL, worker, issuer and S3, and what prepares them', () => {
    expect(Object.keys(services).toSorted()).toEqual(['catalog', 'issuer', 'postgres', 's3', 'secrets', 'worker'])
  })

  it.each(named)('$name runs without root, rights and a file system to write in', ({ service }) => {
    expect(service).toMatchObject({ user: '999:999', read_only: true, cap_drop: ['ALL'] })
    expect(service.security_opt).toContain('no-new-privileges:true')
  })

  it.each(named)('$name says how healthy it is, or ends', ({ name, service }) => {
    if (once.includes(name)) expect(service.healthcheck).toEqual({ disable: true })
    else expect(service.healthcheck?.test?.length).toBeGreaterThan(1)
    for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
      expect(condition).toBe(once.includes(other) ? 'service_completed_successfully' : 'service_healthy')
    }
  })

  it('takes no port that docs/install.md does not say how to change', () => {
    const ports = named.flatMap(({ service }) => service.ports ?? []).map((port) => /\$\{(\w+):-(\d+)\}/.exec(port)!)
    expect(ports.map(([, name]) => name)).toEqual(['POSTGRES_PORT', 'PAGE_PORT', 'S3_PORT'])
    const page = readFileSync(join(ROOT, 'docs/install.md'), 'utf8')
    for (const [, name, port] of ports) {
      expect(page).toMatch(new RegExp(`\\b${name}=\\d+`))
      expect(page).toMatch(new RegExp(`the ports .*\\b${port}\\b`))
    }
  })

  it('shows the S3 key to the issuer and the S3 service alone, where it is not made', () => {
    const script = readFileSync(join(ROOT, 'docker/s3/make-secrets.sh'), 'utf8')
    const holders = [...script.matchAll(/(\w+)\/s3-key\b/g)].map(([, folder]) => folder!)
    expect(new Set(holders)).toEqual(new Set(['issuer', 's3']))
    const sees = (volume: string) =>
      named
        .filter(({ service }) => service.volumes?.some((one) => one.startsWith(`${volume}:`)))
        .map(({ name }) => name)
    for (const holder of ['postgres', 'catalog', 'worker', 'issuer', 's3']) {
      expect(sees(`secrets-${holder}`)).toEqual(['secrets', holder])
    }
    for (const { service } of named) {
      const text = JSON.stringify(service.environment ?? {})
      expect(text).not.toMatch(/AWS_(ACCESS_KEY|SECRET)|PASSWORD"|TOKEN"|:[^/@"]+@/)
    }
  })

  it('shows the page to who has its token', () => {
    const { environment, ports } = services['worker']!
    expect(environment).toMatchObject({ POSTBOX_PAGE_TOKEN_FILE: '/secrets/page-token' })
    expect(ports).toEqual(['127.0.0.1:${PAGE_PORT:-9187}:' + /(?<=:)\d+$/.exec(environment!['POSTBOX_LISTEN']!)![0]])
    expect(readFileSync(join(ROOT, 'docker/s3/make-secrets.sh'), 'utf8')).toMatch(/> worker\/page-token$/m)
  })

  it('opens ports on the loopback address alone, and declares every volume', () => {
    for (const port of named.flatMap(({ service }) => service.ports ?? [])) expect(port).toMatch(/^127\.0\.0\.1:/)
    const used = named.flatMap(({ service }) => service.volumes ?? []).map((volume) => volume.split(':')[0]!)
    expect(new Set(used.filter((one) => !one.startsWith('.')))).toEqual(new Set(Object.keys(volumes)))
  })
})

describe('docker/Dockerfile', () => {
  const stages = readFileSync(join(ROOT, 'docker/Dockerfile'), 'utf8')
    .replaceAll(/\\\n/g, ' ')
    .split(/^FROM /m)
    .slice(1)
    .map((text) => ({ name: /^\S+ AS (\S+)/.exec(text)![1]!, lines: text.split('\n') }))
  const of = (name: string) => stages.find((stage) => stage.name === name)!.lines.join('\n')
  const packages = Object.keys(
    (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { dependencies: object }).dependencies,
  )

  it.each(['worker', 'keyholder', 's3'])('the image %s is not of root, and says how healthy it is', (name) => {
    const lines = stages.find((stage) => stage.name === name)!.lines
    expect(lines.filter((line) => line.startsWith('USER '))).toEqual(['USER 999:999'])
    expect(lines.filter((line) => line.startsWith('HEALTHCHECK '))).toHaveLength(1)
    expect(lines.some((line) => line.startsWith('ADD ') || /curl .*\| *sh/.test(line))).toBe(false)
  })

  it('leaves development dependencies to the stage that compiles', () => {
    expect(of('keyholder-files')).toContain('npm ci --omit=dev')
    for (const name of ['worker', 'keyholder']) expect(of(name)).not.toMatch(/npm |--from=build/)
  })

  it("takes every AWS package out of the worker's image, and none that its commands import", () => {
    const graph = importGraph(sources())
    const reached = (path: string) => [...reachedFrom(graph, path).keys()]
    const keyless = commands
      .map(({ name }) => reached(`src/commands/${name}.ts`))
      .filter((paths) => !paths.some((path) => /^(src\/keyholder\/|@aws-sdk\/)/.test(path)))
    expect(keyless.length).toBeGreaterThan(2)
    const imported = new Set(keyless.flat())
    const removed: string[] = /npm uninstall(.*)/.exec(of('worker-files'))![1]!.match(/(?<= )[@a-z]\S+/g)!
    expect(removed.filter((one) => [...imported].some((path) => path === one || path.startsWith(`${one}/`)))).toEqual(
      [],
    )
    expect(packages.filter((one) => one.startsWith('@aws-sdk/') && !removed.includes(one))).toEqual([])
  })

  it('copies what the sources read beside themselves', () => {
    const beside = /new URL\('(?:\.\.\/)+([^']+?)\/?', import\.meta\.url\)/g
    const read = sources().flatMap(({ text }) => [...text.matchAll(beside)].map(([, path]) => path!))
    expect(read).toContain('docs/restore-by-hand.md')
    const copied = of('keyholder-files')
      .match(/^COPY .*/gm)!
      .join(' ')
    // What the build makes is in dist.
    const missing = read.filter((path) => !/^(dist\/|fetch-wal)/.test(path) && !copied.includes(` ${path} `))
    expect(missing).toEqual([])
  })

  it('copies what is there', () => {
    const there = filesIn('docker', 'src', 'sql', 'migrations').map(({ path }) => path)
    const copied = stages.flatMap(({ lines }) => lines.filter((line) => /^COPY (?!--from)/.test(line)))
    for (const path of copied.flatMap((line) => line.split(' ').slice(1, -1))) {
      const listed = there.some((one) => one === path || one.startsWith(`${path}/`))
      expect([path, listed || readFileSync(join(ROOT, path)).length > 0]).toEqual([path, true])
    }
    const allowed = readFileSync(join(ROOT, '.dockerignore'), 'utf8').match(/(?<=^!).*/gm)!
    for (const path of copied.flatMap((line) => line.split(' ').slice(1, -1))) {
      expect(allowed.some((one) => path === one || path.startsWith(`${one}/`))).toBe(true)
    }
  })
})
