/** A connection that ends in the middle of an answer: one line and exit code 3, never a stack. */

import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';

import { environmentWith, wardian } from '../harness/command.ts';
import type { Run } from '../harness/command.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;
type Cli = (...words: string[]) => Promise<Run>;

/** The command line with a daemon that answers as the test says. */
async function cliOf(t: Test, answer: Answer): Promise<Cli> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => answer(request, response));
  });
  server.listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  t.teardown(() => {
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  });
  const { port } = server.address() as AddressInfo;
  const environment = environmentWith({
    WARDIAN_TOKEN: 'a-token', WARDIAN_ADMIN_URL: `http://127.0.0.1:${port}`,
  });
  return (...words) => wardian(words, { environment });
}

/** The beginning of an answer, then the end of the connection. */
const cut: Answer = (_request, response) => {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100_000 });
  response.write('{"apps":[');
  setTimeout(() => response.destroy(), 20);
};

t.test('lost in the middle of an answer', async (t) => {
  const folder = t.testdir();
  const cli = await cliOf(t, cut);
  const file = join(folder, 'out');
  for (const words of [
    ['apps', 'list'], ['kv', 'get', 'key', '--app', 'a'], ['kv', 'export', '--app', 'a'],
    ['kv', 'export', '--app', 'a', file], ['backup', file], ['logs'],
  ]) {
    const { code, stderr } = await cli(...words);
    t.equal(code, 3, words.join(' '));
    t.match(stderr, /^wardian: http:\S+: the connection was lost: [^\n]+\n$/);
  }
  t.same(readdirSync(folder), [], 'no part of a file is left');
});

t.test('lost before the answer, and an answer that is no JSON', async (t) => {
  const silent = await cliOf(t, (request) => request.socket.destroy());
  const lost = await silent('apps', 'list');
  t.match(lost, { code: 3, stderr: /^wardian: [^\n]+ the connection was lost: [^\n]+\n$/ });
  const strange = await cliOf(t, (_request, response) => response.end('<html>'));
  const { code, stderr } = await strange('apps', 'list');
  t.match({ code, stderr }, { code: 1, stderr: /^wardian: [^\n]*no JSON: <html>\n$/ });
});

t.test('files that are there already, and files that cannot be read', async (t) => {
  const folder = t.testdir();
  const file = join(folder, 'precious');
  writeFileSync(file, 'precious');
  const cli = await cliOf(t, (_request, response) => response.end('{}\n'));
  for (const words of [['kv', 'export', '--app', 'a', file], ['backup', file]]) {
    t.match(await cli(...words), { code: 2, stderr: `wardian: ${file} is there already\n` });
  }
  const nowhere = join(folder, 'no', 'folder');
  const { code, stderr } = await cli('kv', 'export', '--app', 'a', nowhere);
  t.match({ code, stderr }, { code: 1, stderr: `wardian: ${nowhere} cannot be written: ENOENT\n` });
  t.notOk(existsSync(nowhere));
});

t.test('a deploy asks again under its key, and what was done is not done twice', async (t) => {
  const keys: unknown[] = [];
  const done = JSON.stringify({ stage: 'done', message: 'Deploy complete', url: 'http://a/' });
  const cli = await cliOf(t, (request, response) => {
    keys.push(request.headers['idempotency-key']);
    if (keys.length === 1) {
      request.socket.destroy();
    } else if (keys.length === 2) {
      response.write('{"stage":"uploaded","message":"Upload complete"}\n');
      setTimeout(() => response.destroy(), 20);
    } else {
      response.end(`${done}\n`);
    }
  });
  const file = join(t.testdir({ 'a.wasm': 'module' }), 'a.wasm');
  const { code, stdout, stderr } = await cli('deploy', file);
  t.match({ code, stdout }, { code: 0, stdout: 'http://a/\n' }, stderr);
  t.equal(keys.length, 3);
  t.match(keys[0], /^[0-9a-f-]{36}$/);
  t.equal(new Set(keys).size, 1, 'the same key each time');
  t.match(stderr, /the connection was lost: [^\n]+; asking again in \d+ ms\n/);
});

t.test('a deploy that is refused is not asked for again', async (t) => {
  let asked = 0;
  const cli = await cliOf(t, (_request, response) => {
    asked += 1;
    response.writeHead(409).end('{"code":"conflict","detail":"the name a is taken"}');
  });
  const file = join(t.testdir({ 'a.wasm': 'module' }), 'a.wasm');
  t.match(await cli('deploy', file), { code: 1, stderr: /the name a is taken \(conflict\)/ });
  t.equal(asked, 1);
});
