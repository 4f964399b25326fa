/** WASI preview1: exact bytes and error numbers, and a guest that is built on wasi-libc. */

import { readFileSync } from 'node:fs';
import t from 'tap';
import { inspectModule } from '../../hostcalls/index.ts';
import { WASI_HOSTCALLS } from '../../hostcalls/wasi/index.ts';
import { rewrite } from '../../pool/rewrite/index.ts';
import { memoryIs, run, u32, type Data, type RunOptions, type Step } from './guest.ts';

const fixture = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`fixtures/${name}`, import.meta.url)));

const [EBADF, EINVAL, ENOSYS, ENOTDIR, ENOTSOCK, ENOTSUP, ESPIPE, ENOTCAPABLE] =
  [8, 28, 52, 54, 57, 58, 70, 76];

/** 8 zero bytes unless told otherwise, little-endian. */
function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}

const CLOCK = { realtimeNanos: () => 0x0102_0304_0506_0708n, monotonicNanos: () => 5n };

interface Row {
  readonly name: string;
  readonly step: Step;
  readonly result: number;
  readonly changes?: Data;
  readonly options?: RunOptions;
}

const stat = (size: number, at: Record<number, number>): Buffer => {
  const bytes = Buffer.alloc(size);
  for (const [offset, value] of Object.entries(at)) bytes[Number(offset)] = value;
  return bytes;
};

const BODY = { request: { body: Buffer.from('abcdef') } };

const ROWS: readonly Row[] = [
  { name: 'one argument, the label', step: ['wasi:args_sizes_get', 0, 8], result: 0,
    changes: { 0: u32(1), 8: u32(6) } },
  { name: 'its text', step: ['wasi:args_get', 0, 64], result: 0,
    changes: { 0: u32(64), 64: 'hello\0' } },
  { name: 'no environment', step: ['wasi:environ_sizes_get', 0, 8], result: 0,
    changes: { 0: u32(0), 8: u32(0) } },
  { name: 'none of it', step: ['wasi:environ_get', 0, 8], result: 0 },
  { name: 'the realtime clock', step: ['wasi:clock_time_get', 0, 1, 8], result: 0,
    changes: { 8: [8, 7, 6, 5, 4, 3, 2, 1] } },
  { name: 'the monotonic clock', step: ['wasi:clock_time_get', 1, 0, 8], result: 0,
    changes: { 8: u64(5n) } },
  { name: 'CPU time', step: ['wasi:clock_time_get', 2, 0, 8], result: ENOTSUP! },
  { name: 'no such clock', step: ['wasi:clock_time_get', 4, 0, 8], result: EINVAL! },
  { name: 'no such clock either', step: ['wasi:clock_time_get', -1, 0, 8], result: EINVAL! },
  { name: 'a resolution', step: ['wasi:clock_res_get', 1, 8], result: 0,
    changes: { 8: u64(1_000n) } },
  { name: 'no resolution of CPU time', step: ['wasi:clock_res_get', 3, 8], result: ENOTSUP! },
  { name: 'random bytes', step: ['wasi:random_get', 8, 5], result: 0, changes: { 8: 'RRRRR' } },
  { name: 'no random bytes', step: ['wasi:random_get', 8, 0], result: 0 },
  { name: 'yield', step: ['wasi:sched_yield'], result: 0 },
  { name: 'signals', step: ['wasi:proc_raise', 9], result: ENOSYS! },
  { name: 'reading the body into two buffers', step: ['wasi:fd_read', 0, 128, 3, 160], result: 0,
    changes: { 64: 'ab', 80: 'cde', 160: u32(5) },
    options: { ...BODY, data: { 128: u32(64, 2, 72, 0, 80, 3) } } },
  { name: 'reading more than there is', step: ['wasi:fd_read', 0, 128, 1, 160], result: 0,
    changes: { 64: 'abcdef', 160: u32(6) }, options: { ...BODY, data: { 128: u32(64, 100) } } },
  { name: 'reading no body', step: ['wasi:fd_read', 0, 128, 1, 160], result: 0,
    changes: { 160: u32(0) }, options: { data: { 128: u32(64, 100) } } },
  { name: 'reading what cannot be read', step: ['wasi:fd_read', 1, 128, 1, 160], result: EBADF! },
  { name: 'writing what is only read', step: ['wasi:fd_write', 0, 128, 1, 160], result: EBADF! },
  { name: 'writing to no descriptor', step: ['wasi:fd_write', 3, 128, 1, 160], result: EBADF! },
  { name: 'too many buffers', step: ['wasi:fd_write', 1, 128, 1_025, 160], result: EINVAL! },
  { name: 'too many buffers to read', step: ['wasi:fd_read', 0, 128, 1_025, 160], result: EINVAL! },
  { name: 'stdout is a terminal, for wasi-libc', step: ['wasi:fd_fdstat_get', 1, 64], result: 0,
    changes: { 64: stat(24, { 0: 2, 8: 0x48, 10: 0x20, 11: 0x08 }) } },
  { name: 'stdin is not', step: ['wasi:fd_fdstat_get', 0, 64], result: 0,
    changes: { 64: stat(24, { 0: 0, 8: 0x0a, 10: 0x20, 11: 0x08 }) } },
  { name: 'no such descriptor', step: ['wasi:fd_fdstat_get', 3, 64], result: EBADF! },
  { name: 'a file', step: ['wasi:fd_filestat_get', 2, 64], result: 0,
    changes: { 64: stat(64, { 16: 2 }) } },
  { name: 'no such file', step: ['wasi:fd_filestat_get', -1, 64], result: EBADF! },
  { name: 'flags there are not', step: ['wasi:fd_fdstat_set_flags', 1, 32], result: EINVAL! },
  { name: 'seeking', step: ['wasi:fd_seek', 0, 0, 1, 64], result: ESPIPE! },
  { name: 'seeking nowhere', step: ['wasi:fd_seek', 9, 0, 1, 64], result: EBADF! },
  { name: 'telling', step: ['wasi:fd_tell', 2, 64], result: ESPIPE! },
  { name: 'telling of nothing', step: ['wasi:fd_tell', 3, 64], result: EBADF! },
  { name: 'no preopened directory', step: ['wasi:fd_prestat_get', 3, 64], result: EBADF! },
  { name: 'not even there', step: ['wasi:fd_prestat_dir_name', 0, 64, 1], result: EBADF! },
  { name: 'opening a file', step: ['wasi:path_open', 3, 0, 64, 1, 0, 0, 0, 0, 128],
    result: EBADF! },
  { name: 'opening below stdin', step: ['wasi:path_open', 0, 0, 64, 1, 0, 0, 0, 0, 128],
    result: ENOTDIR! },
  { name: 'the descriptor of a symlink is the third', step: ['wasi:path_symlink', 0, 1, 2, 0, 1],
    result: ENOTDIR! },
  { name: 'allocating', step: ['wasi:fd_allocate', 1, 0, 1], result: ENOTCAPABLE! },
  { name: 'a socket', step: ['wasi:sock_send', 1, 0, 0, 0, 64], result: ENOTSOCK! },
  { name: 'no socket', step: ['wasi:sock_recv', 7, 0, 0, 0, 64, 68], result: EBADF! },
];

for (const { name, step, result, changes = {}, options } of ROWS) {
  t.test(`${step[0].slice(5)}: ${name}`, async (t) => {
    const random = { nextU64: () => 0n, fill: (bytes: Uint8Array) => void bytes.fill(0x52) };
    const ran = await run(t, { steps: [step], services: { clock: CLOCK, random }, ...options });
    t.equal(ran.failure, null);
    t.equal(ran.globals['r0'], result);
    memoryIs(t, ran, changes);
  });
}

t.test('everything else answers EBADF for no descriptor, never success', async (t) => {
  for (const called of WASI_HOSTCALLS) {
    if (!called.errors.includes('EBADF') || called.name === 'poll_oneoff') continue;
    const args = called.parameters.map(() => 5);
    const ran = await run(t, { steps: [[`wasi:${called.name}`, ...args]] });
    t.equal(ran.globals['r0'], EBADF, called.name);
    memoryIs(t, ran, {});
  }
});

t.test('a closed descriptor is none; one that is moved goes on where it was', async (t) => {
  const read: Step = ['wasi:fd_read', 0, 128, 1, 160];
  const ran = await run(t, {
    steps: [
      read, ['wasi:fd_renumber', 0, 2], read, ['wasi:fd_read', 2, 136, 1, 164],
      ['wasi:fd_close', 2], ['wasi:fd_close', 2], ['wasi:fd_renumber', 1, 0],
      ['wasi:fd_close', 5], ['wasi:fd_fdstat_set_flags', 1, 4], ['wasi:fd_fdstat_get', 1, 200],
    ],
    data: { 128: u32(64, 2, 80, 9) }, ...BODY,
  });
  t.same(Array.from({ length: 10 }, (_, step) => ran.globals[`r${step}`]),
    [0, 0, EBADF, 0, 0, EBADF, EBADF, EBADF, 0, 0]);
  memoryIs(t, ran, {
    64: 'ab', 80: 'cdef', 160: u32(2, 4),
    200: stat(24, { 0: 2, 2: 4, 8: 0x48, 10: 0x20, 11: 0x08 }),
  });
});

t.test('stdout and stderr go to the log, a line at a time; what is left, at the end', async (t) => {
  const write = (fd: number, iovs: number, count = 1): Step =>
    ['wasi:fd_write', fd, iovs, count, 160];
  const ran = await run(t, {
    steps: [write(1, 128), write(2, 136), write(1, 144, 2)],
    data: {
      64: 'one\ntwo', 80: 'err\n', 88: '-more', 96: '\nleft',
      128: u32(64, 7, 80, 4, 88, 5, 96, 5),
    },
  });
  t.same(ran.logs.map(({ source, text }) => [source, text]), [
    ['stdout', 'one'], ['stderr', 'err'], ['stdout', 'two-more'], ['stdout', 'left'],
  ]);
  memoryIs(t, ran, { 160: u32(10) });
});

const SET: Step = ['hostcall_resp_set_response_code', 0, 202];

t.test('proc_exit(0) is like a return: the response stands', async (t) => {
  const ran = await run(t, { steps: [SET, ['wasi:proc_exit', 0], ['hostcall_debug', 0, 1]] });
  t.equal(ran.failure, null);
  t.equal(ran.exited, true);
  t.ok(ran.thrown instanceof WebAssembly.RuntimeError, 'a trap ends it');
  t.equal(ran.globals['done'], 0);
  t.equal(ran.answer?.status, 202);
  t.equal(ran.globals['wardian:fuel'], -1n);
  t.ok(ran.usage.fuel > 0 && ran.usage.fuel < 10_000);
  t.same(ran.logs, []);
});

t.test('any other exit code is a failure', async (t) => {
  const ran = await run(t, {
    steps: [['hostcall_resp_set_header', 0, 128, 1, 0, 0], ['wasi:proc_exit', -1]],
    data: { 128: 'a' },
  });
  t.equal(ran.failure?.code, 'guest_exit');
  t.equal(ran.failure?.message, 'the guest exited with code 4294967295');
  t.equal(ran.exited, false);
});

t.test('with a response that the guest has set, a failing exit code is only logged', async (t) => {
  const body: Step = ['hostcall_resp_set_body', 0, 128, 4];
  for (const [set, status, sent] of [[SET, 202, null], [body, 200, 'oops']] as const) {
    const ran = await run(t, { steps: [set, ['wasi:proc_exit', 1]], data: { 128: 'oops' } });
    t.equal(ran.failure, null);
    t.equal(ran.exited, true);
    t.equal(ran.answer?.status, status);
    t.equal(ran.answer?.body === null ? null : String(Buffer.from(ran.answer?.body ?? [])), sent);
    t.same(ran.logs.map(({ source, text }) => [source, text]),
      [['debug', 'the guest exited with code 1; its response stands']]);
  }
  const refused: Step = ['hostcall_resp_set_response_code', 0, 5_000];
  const ran = await run(t, { steps: [refused, ['wasi:proc_exit', 1]] });
  t.equal(ran.failure?.code, 'guest_exit', 'what the host refused was not set');
});

/** Subscriptions: user data, type, then by type. */
function clock(userdata: bigint, id: number, nanos: bigint, flags = 0): Buffer {
  const bytes = Buffer.alloc(48);
  bytes.writeBigUInt64LE(userdata, 0);
  bytes.writeUInt32LE(id, 16);
  bytes.writeBigUInt64LE(nanos, 24);
  bytes.writeUInt16LE(flags, 40);
  return bytes;
}

function descriptor(userdata: bigint, type: number, fd: number): Buffer {
  const bytes = Buffer.alloc(48);
  bytes.writeBigUInt64LE(userdata, 0);
  bytes.writeUInt8(type, 8);
  bytes.writeUInt32LE(fd, 16);
  return bytes;
}

function event(userdata: bigint, errno: number, type: number, bytes = 0): Buffer {
  const out = Buffer.alloc(32);
  out.writeBigUInt64LE(userdata, 0);
  out.writeUInt16LE(errno, 8);
  out.writeUInt8(type, 10);
  out.writeUInt32LE(bytes, 16);
  return out;
}

interface PollRow {
  readonly name: string;
  readonly subscriptions: readonly Buffer[];
  readonly result?: number;
  readonly events?: readonly Buffer[];
}

const HOUR = 3_600_000_000_000n;

const POLLS: readonly PollRow[] = [
  {
    name: 'descriptors are ready at once, clocks that are not due say nothing',
    subscriptions: [descriptor(9n, 1, 0), clock(1n, 1, HOUR), descriptor(8n, 2, 1)],
    events: [event(9n, 0, 1, 6), event(8n, 0, 2)],
  },
  {
    name: 'descriptors that do not suit are events',
    subscriptions: [descriptor(1n, 1, 1), descriptor(2n, 2, 0), descriptor(3n, 1, 77)],
    events: [event(1n, EBADF!, 1), event(2n, EBADF!, 2), event(3n, EBADF!, 1)],
  },
  {
    name: 'no such clock is an event', subscriptions: [clock(5n, 7, 1n)],
    events: [event(5n, EINVAL!, 0)],
  },
  {
    name: 'a time that has passed is due', subscriptions: [clock(5n, 0, 1n, 1), clock(6n, 1, 0n)],
    events: [event(5n, 0, 0), event(6n, 0, 0)],
  },
  {
    name: 'the first clock that is due',
    subscriptions: [clock(1n, 1, HOUR), clock(2n, 1, 2_000_000n)],
    events: [event(2n, 0, 0)],
  },
  {
    name: 'an absolute time to come',
    subscriptions: [clock(3n, 0, BigInt(Date.now() + 86_400_000) * 1_000_000n, 1),
      clock(4n, 1, 3_000_000n)],
    events: [event(4n, 0, 0)],
  },
  { name: 'none', subscriptions: [], result: EINVAL! },
  {
    name: 'a type that there is not', subscriptions: [descriptor(0n, 3, 0)], result: EINVAL!,
  },
];

for (const { name, subscriptions, result = 0, events } of POLLS) {
  t.test(`poll_oneoff: ${name}`, async (t) => {
    const ran = await run(t, {
      steps: [['wasi:poll_oneoff', 1_024, 2_048, subscriptions.length, 4_000]],
      data: { 1_024: Buffer.concat(subscriptions) }, ...BODY,
    });
    t.equal(ran.failure, null);
    t.equal(ran.globals['r0'], result);
    memoryIs(t, ran, events === undefined ? {}
      : { 2_048: Buffer.concat(events), 4_000: u32(events.length) });
  });
}

t.test('too many subscriptions are refused', async (t) => {
  const ran = await run(t, { steps: [['wasi:poll_oneoff', 0, 0, 1_025, 4_000]] });
  t.equal(ran.globals['r0'], EINVAL);
});

t.test('preview1 is complete, with the types of wasi-libc', (t) => {
  const { imports, exports } = rewrite(fixture('wasi-all.wasm'), { memoryBytesMax: 1 << 24 });
  t.equal(imports.length, 45);
  t.same(inspectModule(imports, exports).violations, []);
  t.end();
});

t.test('a guest on wasi-libc: stdio, clocks, sleep, random numbers, exit', async (t) => {
  const ran = await run(t, {
    module: fixture('wasi-libc.wasm'), request: { body: Buffer.from('first\nsecond\n') },
  });
  t.equal(ran.failure, null);
  t.equal(ran.exited, true);
  t.equal(Buffer.from(ran.answer?.body ?? []).toString(),
    'first\nsecond\n|tty|no file|no home|stream|slept|now|random');
  t.same(ran.logs.map(({ source, text }) => `${source}: ${text}`), [
    'stdout: reading', 'stderr: 6 bytes', 'stderr: 7 bytes', 'stdout: unfinished',
  ]);
  const failed = await run(t, {
    module: fixture('wasi-libc.wasm'), request: { body: Buffer.from('fail\n') },
  });
  t.equal(failed.failure, null, 'it has set a body');
  const lines = failed.logs.map(({ text }) => text);
  t.ok(lines.includes('the guest exited with code 3; its response stands'));
});
