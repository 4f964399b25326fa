/**
 * What a process has taken of the processor and of memory, as Linux tells it. Processor time for a
 * request hardly depends on what else the machine does; requests per second do.
 */

import { execFileSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';

const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
const USER_TICKS = 11;
const SYSTEM_TICKS = 12;

/** Milliseconds of processor time of the process, its threads and nothing else. */
export function processorMs(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name, in brackets, may hold spaces.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[USER_TICKS]) + Number(fields[SYSTEM_TICKS]);
  return (ticks / TICKS_PER_SECOND) * 1_000;
}

/** Where a process spends its time: its first thread, threads for guests, and V8's helpers. */
export interface ThreadTimes {
  main: number;
  worker: number;
  v8: number;
}

/** Milliseconds of processor time by kind of thread, of the threads that live. */
export function threadTimes(pid: number): ThreadTimes {
  const times: ThreadTimes = { main: 0, worker: 0, v8: 0 };
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const text = readFileSync(`/proc/${pid}/task/${task}/stat`, 'utf8');
    // The names that Node and V8 give their threads.
    const name = text.slice(text.indexOf('(') + 1, text.lastIndexOf(')'));
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const ticks = Number(fields[USER_TICKS]) + Number(fields[SYSTEM_TICKS]);
    const spent = (ticks / TICKS_PER_SECOND) * 1_000;
    if (Number(task) === pid) times.main += spent;
    else if (name === 'WorkerThread') times.worker += spent;
    else if (name === 'V8Worker') times.v8 += spent;
  }
  return times;
}

/** Resident bytes of the process. */
export function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (match === null) throw new Error(`process ${pid} tells no resident size`);
  return Number(match[1]) * 1_024;
}

/** The daemon's own process: the launcher may have started it in a Node of its own. */
export function servingPid({ child }: { readonly child: ChildProcess }): number {
  const { pid } = child;
  if (pid === undefined) throw new Error('the daemon was not started');
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  // Builders are children too.
  const started = children.find((one) => one !== ''
    && readFileSync(`/proc/${one}/cmdline`, 'utf8').includes('daemon/main'));
  return started === undefined ? pid : Number(started);
}
