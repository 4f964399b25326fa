/**
 * How much memory a builder's process group holds: the sum of the resident sets of its members,
 * from `/proc` on Linux and from `ps` elsewhere. Address-space limits do not fit V8, which reserves
 * gigabytes for every wasm memory without using them.
 */

import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';

const STAT_PGRP = 2;
const PS_OUTPUT_BYTES_MAX = 4 * 1_024 * 1_024;

/** The text of a file under `/proc`, or empty: processes end at any moment. */
async function readProc(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    // ENOENT or ESRCH: the process has ended and holds nothing.
    return '';
  }
}

/** Fields of `/proc/<pid>/stat` after the name, which may hold spaces and parentheses. */
function statFields(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

export async function groupMembers(group: number): Promise<number[]> {
  const members: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readProc(`/proc/${name}/stat`);
    if (statFields(stat)[STAT_PGRP] === String(group)) members.push(Number(name));
  }
  return members;
}

async function residentBytes(pid: number): Promise<number> {
  const status = await readProc(`/proc/${pid}/status`);
  let kib = 0;
  for (const match of status.matchAll(/^Vm(?:RSS|Swap):\s*(\d+) kB$/gm)) kib += Number(match[1]);
  return kib * 1_024;
}

async function residentBytesOf(pids: Iterable<number>): Promise<number> {
  let sum = 0;
  for (const pid of pids) sum += await residentBytes(pid);
  return sum;
}

function residentBytesFromPs(group: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const limits = { maxBuffer: PS_OUTPUT_BYTES_MAX };
    execFile('ps', ['-axo', 'pgid=,rss='], limits, (error, output) => {
      if (error !== null) {
        reject(error);
        return;
      }
      let kib = 0;
      for (const match of output.matchAll(/^\s*(\d+)\s+(\d+)\s*$/gm)) {
        if (Number(match[1]) === group) kib += Number(match[2]);
      }
      resolve(kib * 1_024);
    });
  });
}

const POLL_MS = 100;
/** Looking through every process of the machine costs more than reading the known ones. */
const POLLS_PER_SCAN = 5;

/**
 * Calls `onExceeded` once when the group holds more than `bytesMax`. `scan` is false for builds
 * that start no compiler: their group is one process.
 */
export function watchGroupMemory(
  group: number, scan: boolean, bytesMax: number, onExceeded: (bytes: number) => void,
): { stop(): void } {
  let stopped = false;
  let polls = 0;
  let members = [group];
  let timer: NodeJS.Timeout | undefined;

  async function poll(): Promise<void> {
    let bytes: number;
    if (process.platform === 'linux') {
      if (scan && polls % POLLS_PER_SCAN === 0) members = await groupMembers(group);
      bytes = await residentBytesOf(members);
    } else {
      bytes = await residentBytesFromPs(group);
    }
    polls += 1;
    if (stopped) return;
    if (bytes > bytesMax) {
      stopped = true;
      onExceeded(bytes);
      return;
    }
    timer = setTimeout(run, POLL_MS);
  }

  function run(): void {
    poll().catch(() => {
      // Without a reading there is no limit: the build ends rather than go on unwatched.
      if (!stopped) onExceeded(0);
      stopped = true;
    });
  }

  run();
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
