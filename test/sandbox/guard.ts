import { spawn } from 'node:child_process'
import type { Writable } from 'node:stream'

/**
 * What must not outlive this process: a small shell reads our orders and, when our end of its pipe closes (however we
 * died), ends the processes and removes the directories that it was told of and not told to forget.
 */
const SCRIPT = `
trap '' INT TERM HUP
pids= dirs=
alive() { kill -0 "$1" 2>/dev/null && ! grep -qs '^State:.Z' "/proc/$1/status"; }
without() { for one in $2; do [ "$one" = "$1" ] || printf ' %s' "$one"; done; }
while read -r verb signal what; do
  case $verb in
    end) pids="$pids $signal:$what" ;;
    remove) dirs="$dirs $what" ;;
    forget) pids=$(without "$signal:$what" "$pids"); dirs=$(without "$what" "$dirs") ;;
  esac
done
for one in $pids; do kill "-\${one%%:*}" "\${one#*:}" 2>/dev/null; done
for one in $pids; do
  tries=0
  while alive "\${one#*:}" && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
  ! alive "\${one#*:}" || kill -KILL "\${one#*:}" 2>/dev/null
done
for one in $dirs; do rm -rf -- "$one"; done
`

let orders: Writable | undefined

function order(line: string): void {
  if (/\s/.test(line.split(' ').slice(2).join(' '))) throw new Error(`the guard takes no path with spaces: ${line}`)
  if (!orders) {
    // Its own session, so that Ctrl-C at the terminal reaches us and not it.
    const shell = spawn('/bin/sh', ['-c', SCRIPT], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
    shell.unref()
    orders = shell.stdin
    ;(orders as Writable & { unref(): void }).unref()
  }
  orders.write(line + '\n')
}

/** Sends `signal` to the process when this one ends, and SIGKILL five seconds later. */
export function endWithUs(pid: number, signal: 'QUIT' | 'TERM' | 'KILL'): void {
  order(`end ${signal} ${pid}`)
}

/** Takes back endWithUs(): the process has ended, and its number may soon belong to another. */
export function forgetProcess(pid: number): void {
  for (const signal of ['QUIT', 'TERM', 'KILL']) order(`forget ${signal} ${pid}`)
}

/** Removes the directory, with all in it, when this process ends and its processes have. */
export function removeWithUs(directory: string): void {
  order(`remove - ${directory}`)
}

/** Takes back removeWithUs(). */
export function forgetDirectory(directory: string): void {
  order(`forget - ${directory}`)
}
