/** `fd_*` on the three descriptors there are. */

import { FUEL_PER_BYTE_BULK, FUEL_PER_BYTE_TEXT, hostcall } from '../define.ts';
import type { GuestState } from '../guest.ts';
import { EBADF, EINVAL, ESPIPE, SUCCESS } from './errno.ts';
import { FD, IOVS, IOVS_LEN, i32, i64 } from './parameters.ts';
import { bodyLeft, openDescriptor, wasi, type Descriptor } from './state.ts';

const IOVEC_BYTES = 8;
/** As Linux has it. */
const IOVECS_MAX = 1_024;

const FILETYPE_UNKNOWN = 0;
/**
 * With neither the right to seek nor to tell, this is a terminal for wasi-libc, which then buffers
 * by the line.
 */
const FILETYPE_CHARACTER_DEVICE = 2;

const RIGHT_FD_READ = 1n << 1n;
const RIGHT_FDSTAT_SET_FLAGS = 1n << 3n;
const RIGHT_FD_WRITE = 1n << 6n;
const RIGHT_FILESTAT_GET = 1n << 21n;
const RIGHT_POLL = 1n << 27n;

const FDSTAT_BYTES = 24;
const FILESTAT_BYTES = 64;
const FDFLAGS_ALL = 0x1f;

function filetype(descriptor: Descriptor): number {
  return descriptor.stream === 'stdin' ? FILETYPE_UNKNOWN : FILETYPE_CHARACTER_DEVICE;
}

interface Iovec {
  readonly pointer: number;
  readonly length: number;
}

/**
 * The buffers of a vectored call; null if there are too many. Reading one costs time, whatever its
 * length: the array is paid for like text.
 */
function iovecs(guest: GuestState, iovs: number, count: number): Iovec[] | null {
  if (count >>> 0 > IOVECS_MAX) return null;
  const { memory, meter } = guest;
  const bytes = (count >>> 0) * IOVEC_BYTES;
  memory.check(iovs, bytes, 'iovs');
  const { fuelPerByte } = meter;
  meter.fuelPerByte = FUEL_PER_BYTE_TEXT;
  meter.charge(bytes);
  meter.fuelPerByte = fuelPerByte;
  const buffers: Iovec[] = [];
  for (let at = 0; at < count >>> 0; at++) {
    const iovec = (iovs >>> 0) + at * IOVEC_BYTES;
    const pointer = memory.readU32(iovec, 'iovs');
    const length = memory.readU32(iovec + 4, 'iovs');
    // The name is made for the one that is refused: for each it would cost more than all the rest.
    if (!memory.holds(pointer, length)) memory.check(pointer, length, `iovs[${at}]`);
    buffers.push({ pointer, length });
  }
  return buffers;
}

const fdWrite = hostcall({
  name: 'fd_write',
  parameters: [
    FD, IOVS, IOVS_LEN, i32('written_out', 'where the host stores the u32 number of bytes written'),
  ],
  result: 'i32',
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_BULK,
  does: 'Writes to the deployment\'s log, a line at a time. What is over the limits of the log is '
    + 'cut, and counts as '
    + 'written.',
  errors: 'EBADF unless the descriptor is open and 1 or 2. EINVAL for more than 1,024 buffers.',
  run(guest, fd, iovs, count, writtenOut) {
    guest.memory.check(writtenOut, 4, 'written_out');
    const descriptor = openDescriptor(guest, fd);
    if (descriptor === null || descriptor.stream === 'stdin') return EBADF;
    const { stream } = descriptor;
    const buffers = iovecs(guest, iovs, count);
    if (buffers === null) return EINVAL;
    let written = 0;
    for (const { pointer, length } of buffers) {
      if (written + length > 0xffff_ffff) return EINVAL;
      if (length > 0) {
        guest.memory.lend(pointer, length, 'iovs', (bytes) => guest.log.write(stream, bytes));
      }
      written += length;
    }
    guest.memory.writeU32(writtenOut, written, 'written_out');
    return SUCCESS;
  },
});

const fdRead = hostcall({
  name: 'fd_read',
  parameters: [
    FD, IOVS, IOVS_LEN, i32('read_out', 'where the host stores the u32 number of bytes read'),
  ],
  result: 'i32',
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_BULK,
  does: 'Reads on in the request\'s body. 0 bytes read is its end.',
  errors: 'EBADF unless the descriptor is open and 0. EINVAL for more than 1,024 buffers.',
  run(guest, fd, iovs, count, readOut) {
    guest.memory.check(readOut, 4, 'read_out');
    const descriptor = openDescriptor(guest, fd);
    if (descriptor === null || descriptor.stream !== 'stdin') return EBADF;
    const buffers = iovecs(guest, iovs, count);
    if (buffers === null) return EINVAL;
    const left = bodyLeft(guest);
    let read = 0;
    for (const { pointer, length } of buffers) {
      const piece = left.subarray(read, read + length);
      if (piece.length > 0) guest.memory.write(pointer, piece, 'iovs');
      read += piece.length;
    }
    wasi(guest).bodyRead += read;
    guest.memory.writeU32(readOut, read, 'read_out');
    return SUCCESS;
  },
});

const fdClose = hostcall({
  name: 'fd_close',
  parameters: [FD],
  result: 'i32',
  waits: false,
  fuelPerByte: 0,
  does: 'Closes a descriptor.',
  errors: 'EBADF unless it is open.',
  run(guest, fd) {
    if (openDescriptor(guest, fd) === null) return EBADF;
    wasi(guest).descriptors[fd] = null;
    return SUCCESS;
  },
});

const fdRenumber = hostcall({
  name: 'fd_renumber',
  parameters: [FD, i32('to', 'the descriptor that is replaced')],
  result: 'i32',
  waits: false,
  fuelPerByte: 0,
  does: 'Moves a descriptor over another one.',
  errors: 'EBADF unless both are open.',
  run(guest, fd, to) {
    const descriptor = openDescriptor(guest, fd);
    if (descriptor === null || openDescriptor(guest, to) === null) return EBADF;
    const { descriptors } = wasi(guest);
    descriptors[fd] = null;
    descriptors[to] = descriptor;
    return SUCCESS;
  },
});

const fdFdstatGet = hostcall({
  name: 'fd_fdstat_get',
  parameters: [FD, i32('stat_out', 'where the host stores 24 bytes of fdstat')],
  result: 'i32',
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_BULK,
  does: 'Describes a descriptor: 1 and 2 are character devices that may be written, 0 may be read.',
  errors: 'EBADF unless it is open.',
  memory: 'fdstat',
  run(guest, fd, statOut) {
    guest.memory.check(statOut, FDSTAT_BYTES, 'stat_out');
    const descriptor = openDescriptor(guest, fd);
    if (descriptor === null) return EBADF;
    const stat = Buffer.alloc(FDSTAT_BYTES);
    stat[0] = filetype(descriptor);
    stat.writeUInt16LE(descriptor.flags, 2);
    stat.writeBigUInt64LE((descriptor.stream === 'stdin' ? RIGHT_FD_READ : RIGHT_FD_WRITE)
      | RIGHT_FDSTAT_SET_FLAGS | RIGHT_FILESTAT_GET | RIGHT_POLL, 8);
    guest.memory.write(statOut, stat, 'stat_out');
    return SUCCESS;
  },
});

const fdFdstatSetFlags = hostcall({
  name: 'fd_fdstat_set_flags',
  parameters: [FD, i32('flags', 'fdflags; they are kept and have no effect')],
  result: 'i32',
  waits: false,
  fuelPerByte: 0,
  does: 'Sets the flags of a descriptor.',
  errors: 'EBADF unless it is open, EINVAL for flags that there are not.',
  run(guest, fd, flags) {
    const descriptor = openDescriptor(guest, fd);
    if (descriptor === null) return EBADF;
    if ((flags & ~FDFLAGS_ALL) !== 0) return EINVAL;
    descriptor.flags = flags;
    return SUCCESS;
  },
});

const fdFilestatGet = hostcall({
  name: 'fd_filestat_get',
  parameters: [FD, i32('stat_out', 'where the host stores 64 bytes of filestat')],
  result: 'i32',
  waits: false,
  fuelPerByte: FUEL_PER_BYTE_BULK,
  does: 'Describes the file of a descriptor: only its type is not 0.',
  errors: 'EBADF unless it is open.',
  run(guest, fd, statOut) {
    guest.memory.check(statOut, FILESTAT_BYTES, 'stat_out');
    const descriptor = openDescriptor(guest, fd);
    if (descriptor === null) return EBADF;
    const stat = Buffer.alloc(FILESTAT_BYTES);
    stat[16] = filetype(descriptor);
    guest.memory.write(statOut, stat, 'stat_out');
    return SUCCESS;
  },
});

const fdSeek = hostcall({
  name: 'fd_seek',
  parameters: [
    FD, i64('offset', 'ignored'), i32('whence', 'ignored'), i32('position_out', 'not written'),
  ],
  result: 'i32',
  waits: false,
  fuelPerByte: 0,
  does: 'Nothing: the descriptors are streams.',
  errors: 'ESPIPE, or EBADF unless it is open.',
  run: (guest, fd) => openDescriptor(guest, fd) === null ? EBADF : ESPIPE,
});

const fdTell = hostcall({
  name: 'fd_tell',
  parameters: [FD, i32('position_out', 'not written')],
  result: 'i32',
  waits: false,
  fuelPerByte: 0,
  does: 'Nothing: the descriptors are streams.',
  errors: 'ESPIPE, or EBADF unless it is open.',
  run: (guest, fd) => openDescriptor(guest, fd) === null ? EBADF : ESPIPE,
});

export const DESCRIPTOR_HOSTCALLS = [
  fdWrite, fdRead, fdClose, fdRenumber, fdFdstatGet, fdFdstatSetFlags, fdFilestatGet, fdSeek,
  fdTell,
] as const;
