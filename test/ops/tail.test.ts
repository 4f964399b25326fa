/** `wardian tail` against a daemon that goes away and comes back, and against one that refuses. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const LAUNCHER = fileURLToPath(new URL('../../bin/wardian.js', import.meta.url));

interface Answer {
  readonly events: readonly object[];
  readonly end: 'cut' | 'close' | 'stay';
}

async function serverOf(answers: readonly Answer[]) {
  const asked: URL[] = [];
  const open: ServerResponse[] = [];
  const server = createServer((request, response) => {
    const answer = answers[asked.length] ?? { events: [], end: 'stay' };
    asked.push(new URL(request.url ?? '/', 'http://localhost'));
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    for (const event of answer.events) response.write(`${JSON.stringify(event)}\n`);
    open.push(response);
    if (answer.end === 'close') response.end();
    if (answer.end === 'cut') setTimeout(() => response.destroy(), 50);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const close = (): void => {
    for (const response of open) response.destroy();
    server.close();
  };
  return { port, asked, close };
}

function tail(port: number, ...words: string[]) {
  const child = spawn(process.execPath,
    [LAUNCHER, '--admin-url', `http://127.0.0.1:${port}`, 'tail', ...words],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, WARDIAN_TOKEN: 'x' } });
  const output = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => { output.out += String(chunk); });
  child.stderr.on('data', (chunk: Buffer) => { output.err += String(chunk); });
  return { child, output };
}

const line = (number: number) => ({
  cursor: `ab.${number}`,
  line: { level: 30, time: number, kind: 'request', target: `/${number}` },
});

t.test('it goes on where it stopped, and tells what it dropped', async (t) => {
  const server = await serverOf([
    { events: [{ cursor: 'ab.0', idle: true }, line(1), line(2)], end: 'cut' },
    { events: [{ cursor: 'ab.7', dropped: 5, reason: 'overrun' }, line(8)], end: 'close' },
    { events: [{ cursor: 'cd.1', restarted: true }, line(9)], end: 'stay' },
  ]);
  t.teardown(server.close);
  const { child, output } = tail(server.port, 'shop', '--status', '5xx', '--sampling-rate', '0.5');
  const until = performance.now() + 20_000;
  while (!output.out.includes('/9') && performance.now() < until) {
    await new Promise((done) => { setTimeout(done, 20); });
  }
  child.kill('SIGTERM');
  await once(child, 'exit');
  const targets = output.out.trim().split('\n')
    .map((text) => (JSON.parse(text) as { target: string }).target);
  t.strictSame(targets, ['/1', '/2', '/8', '/9']);
  t.match(output.err, /5 lines of the log were dropped: they came faster/);
  t.match(output.err, /the daemon was restarted/);
  t.match(output.err, /the connection was lost; again in \d+ ms/);
  t.strictSame(server.asked.map((url) => url.searchParams.get('after')), [null, 'ab.2', 'ab.8']);
  t.strictSame([...server.asked[0]?.searchParams ?? []].toSorted(), [
    ['app', 'shop'], ['follow', 'true'], ['sampling_rate', '0.5'], ['status', '5xx'],
  ]);
});

t.test('without a daemon it ends', async (t) => {
  const { child, output } = tail(1);
  const [code] = (await once(child, 'exit')) as [number];
  t.equal(code, 3);
  t.match(output.err, /no daemon answers/);
});
