/**
 * What one request costs a listener: requests per second and microseconds of CPU, for each engine
 * and for the bare server under it, alternating in one run, medians printed. Every server answers
 * twelve bytes a turn of the event loop later, as a listener with guests behind it would.
 *
 * usage: node test/bench/listener.ts [--json] [--rounds 5] [--seconds 2] [--connections 32]
 *        [--only node:net,uwebsockets]
 */

import { execFile, fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

import { listen } from '../../daemon/listen/listener.ts';
import type { EngineName } from '../../daemon/listen/listener.ts';
import { loadHyperExpress } from '../../daemon/listen/uws-engine.ts';
import { hasWrk, measure, median } from './load.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    connections: { type: 'string', default: '32' },
    only: { type: 'string', default: '' },
    serve: { type: 'string', default: '' },
  },
});

const BODY = Buffer.from('Hello world\n');

/** What a browser sends: the cost of a request is mostly that of its headers. */
const BROWSER_HEADERS = [
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8',
  'Accept-Language: en-GB,en;q=0.7,de;q=0.3',
  'Accept-Encoding: gzip, deflate, br, zstd',
  'Cookie: session=0123456789abcdef0123456789abcdef; theme=dark',
  'Sec-Fetch-Mode: navigate',
  'Cache-Control: no-cache',
];

async function serveListener(engine: EngineName): Promise<number> {
  const headers = ['content-type', 'text/plain'];
  const listener = await listen({ host: '127.0.0.1', port: 0, engine }, (request) => {
    setImmediate(() => request.respond({ status: 200, headers, body: BODY }));
  });
  return listener.address.port;
}

async function servePlainNode(): Promise<number> {
  const server = createServer((_request, response) => {
    setImmediate(() => {
      response.writeHead(200, ['content-type', 'text/plain', 'content-length', '12']);
      response.end(BODY);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** The parts of hyper-express' own interface that an application would use. */
interface HyperExpressApplication {
  any(pattern: string, handler: (request: object, response: HyperExpressResponse) => void): void;
  listen(port: number, host: string): Promise<unknown>;
  readonly port: number;
}

interface HyperExpressResponse {
  header(name: string, value: string): HyperExpressResponse;
  send(body: Uint8Array): void;
}

async function serveHyperExpress(): Promise<number> {
  const loaded = loadHyperExpress();
  if (typeof loaded === 'string') throw new Error(loaded);
  const server: unknown = new loaded.Server({ auto_close: false });
  const application = server as HyperExpressApplication;
  application.any('/*', (_request, response) => {
    setImmediate(() => response.header('content-type', 'text/plain').send(BODY));
  });
  await application.listen(0, '127.0.0.1');
  return application.port;
}

const SERVERS: Record<string, () => Promise<number>> = {
  'plain node:http': servePlainNode,
  'plain hyper-express': serveHyperExpress,
  'node:http': () => serveListener('node:http'),
  'node:net': () => serveListener('node:net'),
  uwebsockets: () => serveListener('uwebsockets'),
};

interface Contestant {
  readonly name: string;
  readonly child: ChildProcess;
  readonly port: number;
  readonly requestsPerSecond: number[];
  readonly cpuUs: number[];
}

/** The child: serves, and tells how much CPU it has used whenever it is asked. */
async function serve(name: string): Promise<void> {
  const start = SERVERS[name];
  if (start === undefined || process.send === undefined) throw new Error(`no server ${name}`);
  process.on('message', () => {
    const { user, system } = process.cpuUsage();
    process.send?.(user + system);
  });
  process.on('disconnect', () => process.exit(0));
  process.send(await start());
}

async function startContestant(name: string): Promise<Contestant> {
  const child = fork(fileURLToPath(import.meta.url), ['--serve', name]);
  const [port] = await once(child, 'message') as [number];
  return { name, child, port, requestsPerSecond: [], cpuUs: [] };
}

async function cpuOf(child: ChildProcess): Promise<number> {
  child.send('cpu');
  const [us] = await once(child, 'message') as [number];
  return us;
}

async function load(port: number, seconds: number): Promise<number> {
  const connections = Number(values.connections);
  if (!hasWrk) {
    return (await measure({ port, host: 'h', connections, seconds })).requestsPerSecond;
  }
  const headers = BROWSER_HEADERS.flatMap((line) => ['-H', line]);
  const { stdout } = await promisify(execFile)('wrk', [
    '-t1', `-c${connections}`, `-d${seconds}s`, ...headers, `http://127.0.0.1:${port}/`,
  ]);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]);
}

async function round(contestants: Contestant[], seconds: number, counts: boolean): Promise<void> {
  for (const { child, port, requestsPerSecond, cpuUs } of contestants) {
    const before = await cpuOf(child);
    const rate = await load(port, seconds);
    const used = await cpuOf(child) - before;
    if (!counts) continue;
    requestsPerSecond.push(rate);
    cpuUs.push(used / (rate * seconds));
  }
}

function print(contestants: Contestant[]): void {
  const results = contestants.map(({ name, requestsPerSecond, cpuUs }) => ({
    name,
    requestsPerSecond: Math.round(median(requestsPerSecond)),
    cpuUsPerRequest: Number(median(cpuUs).toFixed(2)),
  }));
  if (values.json) {
    console.log(JSON.stringify({ node: process.version, load: hasWrk ? 'wrk' : 'own', results }));
    return;
  }
  for (const { name, requestsPerSecond, cpuUsPerRequest } of results) {
    const rate = String(requestsPerSecond).padStart(8);
    console.log(`${name.padEnd(20)} ${rate} requests/s  ${cpuUsPerRequest} µs of CPU each`);
  }
}

async function main(): Promise<void> {
  const only = values.only.split(',').filter((name) => name !== '');
  const missing = loadHyperExpress();
  const names = Object.keys(SERVERS).filter((name) => only.length === 0 || only.includes(name));
  const contestants: Contestant[] = [];
  try {
    for (const name of names) {
      if (typeof missing === 'string' && /uwebsockets|hyper/.test(name)) {
        console.error(`${name}: left out, ${missing}`);
      } else {
        contestants.push(await startContestant(name));
      }
    }
    await round(contestants, 1, false);
    for (let i = 0; i < Number(values.rounds); i += 1) {
      await round(contestants, Number(values.seconds), true);
    }
    print(contestants);
  } finally {
    for (const { child } of contestants) child.disconnect();
  }
}

await (values.serve === '' ? main() : serve(values.serve));
