/** As much of WASI preview 1 as a C library asks for when it prints: standard output is the log. */

import type { Hostcalls } from './hostcalls.ts';
import type { MemoryAccess } from './memory.ts';

const SUCCESS = 0;
const BAD_DESCRIPTOR = 8;
const ILLEGAL_SEEK = 29;
const CHARACTER_DEVICE = 2;
const FDSTAT_BYTES = 24;

export function createWasi(memory: MemoryAccess, log: string[]): Hostcalls {
  const standard = (fd: number): boolean => fd === 1 || fd === 2;
  return {
    fd_close: () => SUCCESS,
    fd_fdstat_get: (fd, out) => {
      if (!standard(fd)) return BAD_DESCRIPTOR;
      const stat = new Uint8Array(FDSTAT_BYTES);
      stat[0] = CHARACTER_DEVICE;
      memory.write(out, stat);
      return SUCCESS;
    },
    fd_seek: () => ILLEGAL_SEEK,
    fd_write: (fd, vectors, count, writtenOut) => {
      if (!standard(fd)) return BAD_DESCRIPTOR;
      const text = Buffer.concat(memory.takeList(vectors, count));
      for (const line of text.toString().split('\n')) if (line !== '') log.push(line);
      memory.writeU32(writtenOut, text.length);
      return SUCCESS;
    },
    proc_exit: (code) => {
      throw new Error(`the guest exited with ${code}`);
    },
  };
}
