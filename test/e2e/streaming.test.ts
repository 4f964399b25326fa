/**
 * A gigabyte each way through the daemon: the memory stays flat, the bytes arrive, and the access
 * log tells of each once, at its end, with the right counts.
 */

import t from 'tap';
import type { Test } from 'tap';

import { servingPid } from '../bench/processor.ts';
import type { Daemon } from '../harness/daemon.ts';
import {
  countingGuest, MIB, relayGuest, streamUpstream, transfer, uploadGuest, watchMemory,
} from './streams.ts';
import type { Transfer, TransferOptions } from './streams.ts';
import { ALLOW_LOOPBACK, example, sendRaw, startFor, until } from './world.ts';

t.setTimeout(230_000);

const GIB = 1_024 * MIB;
/**
 * Of the peak above what the daemon had before: what the collectors of the threads leave lying. A
 * body that was held would be four times it.
 */
const GROWTH_BYTES_MAX = 256 * MIB;

/** One request, its line of the access log, and how much the daemon's memory grew meanwhile. */
async function watched(
  daemon: Daemon, app: string, options: TransferOptions,
): Promise<{ done: Transfer; line: Record<string, unknown>; grown: number }> {
  const lines = (): Record<string, unknown>[] =>
    daemon.log.filter(({ kind, app: name }) => kind === 'request' && name === app);
  const before = lines().length;
  const memory = watchMemory(servingPid(daemon));
  const done = await transfer(daemon.port, `${app}.localhost`, options);
  const grown = memory.stop();
  await until(`the request of ${app} is in the log`, () => lines().length > before);
  t.equal(lines().length, before + 1, 'once');
  return { done, line: lines().at(-1) ?? {}, grown };
}

t.test('memory stays flat', async (t: Test) => {
  const upstream = await streamUpstream(t);
  const daemon = await startFor(t, { flags: [...ALLOW_LOOPBACK, '--threads', '1'] });
  await daemon.deploy('down', relayGuest(`${upstream.url}/down?bytes=${GIB}`));
  await daemon.deploy('warm', relayGuest(`${upstream.url}/down?bytes=${64 * MIB}`));
  await daemon.deploy('up', uploadGuest(`${upstream.url}/up`));
  // Buffers, heaps and compiled code come to their size.
  await transfer(daemon.port, 'warm.localhost', {});
  await transfer(daemon.port, 'up.localhost', { upload: 64 * MIB });

  const down = await watched(daemon, 'down', {});
  t.match(down.done, { status: 200, bytes: GIB, error: '' });
  t.match(down.line, { status: 200, outcome: 'ok', responseBytes: GIB, requestBytes: 0 });
  t.ok(down.grown < GROWTH_BYTES_MAX, `${Math.round(down.grown / MIB)} MiB more at the peak`);

  const up = await watched(daemon, 'up', { upload: GIB });
  t.match(up.done, { status: 200, text: String(GIB), error: '' });
  t.match(up.line, { status: 200, outcome: 'ok', requestBytes: GIB });
  t.ok(up.grown < GROWTH_BYTES_MAX, `${Math.round(up.grown / MIB)} MiB more at the peak`);
});

t.test('a body of any size and framing is read whole', async (t: Test) => {
  const daemon = await startFor(t, { flags: ['--threads', '1'] });
  await daemon.deploy('count', countingGuest());
  for (const upload of [1, 65_536, 65_537, 300_000, 20 * MIB]) {
    for (const chunked of [false, true]) {
      const { text } = await transfer(daemon.port, 'count.localhost', { upload, chunked });
      t.equal(Buffer.from(text, 'latin1').readUInt32LE(), upload, `${upload}, ${chunked}`);
    }
  }
  const none = await daemon.ask('count.localhost', '/', { method: 'PUT' });
  t.equal(none.body.readUInt32LE(), 0);
});

t.test('the proxy example relays, and an upload comes back as it is sent', async (t: Test) => {
  const upstream = await streamUpstream(t);
  const daemon = await startFor(t, { flags: ALLOW_LOOPBACK });
  await daemon.deploy('proxy', example('proxy'));
  await daemon.deploy('echo', uploadGuest(`${upstream.url}/echo`));
  const bytes = 100 * MIB;
  for (const query of ['', '&chunked']) {
    const path = `/?url=${encodeURIComponent(`${upstream.url}/down?bytes=${bytes}${query}`)}`;
    const done = await transfer(daemon.port, 'proxy.localhost', { path });
    t.match(done, { status: 200, bytes, error: '' }, 'more than may be held');
  }
  const echo = await transfer(daemon.port, 'echo.localhost', { upload: 8 * MIB });
  t.match(echo, { status: 200, bytes: 8 * MIB, error: '' }, 'both ways at once');
  const head = await transfer(daemon.port, 'proxy.localhost', {
    method: 'HEAD', path: `/?url=${encodeURIComponent(`${upstream.url}/down?bytes=1000`)}`,
  });
  t.match(head, { status: 200, bytes: 0, error: '' });
  const lines = (): Record<string, unknown>[] =>
    daemon.log.filter(({ kind, method }) => kind === 'request' && method === 'HEAD');
  await until('the HEAD is in the log', () => lines().length === 1);
  t.match(lines()[0], { status: 200, outcome: 'ok', responseBytes: 0 });
  const answers = await sendRaw(daemon.port, ['keep-alive', 'close'].map((connection) =>
    `HEAD /?url=${encodeURIComponent(`${upstream.url}/down?bytes=1000`)} HTTP/1.1\r\n`
    + `host: proxy.localhost\r\nconnection: ${connection}\r\n\r\n`).join(''));
  t.equal(answers.match(/^HTTP\/1.1 200 /gm)?.length, 2, 'its connection serves on');
});
