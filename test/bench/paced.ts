/**
 * Latency as one well-behaved client sees it: requests at a steady pace over a few connections that
 * are kept, each sent at its time whatever became of those before it.
 */

import { connect } from 'node:net';
import type { Socket } from 'node:net';

export interface Pace {
  readonly port: number;
  readonly host: string;
  readonly perSecond: number;
  readonly seconds: number;
}

export interface PacedResult {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly requests: number;
  /** Answers that were not 200, and requests that found no free connection. */
  readonly errors: number;
}

/** More than are ever under way at a healthy pace. */
const CONNECTIONS = 64;
/** How long answers may come late at the end. */
const GRACE_S = 10;

class Line {
  readonly socket: Socket;
  readonly #done: (tookMs: number, well: boolean) => void;
  #text = '';
  #askedAt = 0;
  busy = false;

  constructor(socket: Socket, done: (tookMs: number, well: boolean) => void) {
    this.socket = socket;
    this.#done = done;
    socket.setNoDelay(true);
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => this.#data(chunk));
  }

  ask(request: string): void {
    this.busy = true;
    this.#askedAt = performance.now();
    this.socket.write(request);
  }

  #data(chunk: string): void {
    this.#text += chunk;
    const head = this.#text.indexOf('\r\n\r\n');
    if (head < 0) return;
    const length = /content-length: (\d+)/i.exec(this.#text.slice(0, head));
    if (this.#text.length < head + 4 + Number(length?.[1] ?? 0)) return;
    const well = this.#text.startsWith('HTTP/1.1 200');
    this.#text = '';
    this.busy = false;
    this.#done(performance.now() - this.#askedAt, well);
  }
}

function open(port: number): Promise<Socket> {
  return new Promise((done, failed) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => done(socket));
    socket.once('error', failed);
  });
}

export async function pace({ port, host, perSecond, seconds }: Pace): Promise<PacedResult> {
  const latencies: number[] = [];
  let errors = 0;
  const lines: Line[] = [];
  for (let count = 0; count < CONNECTIONS; count += 1) {
    lines.push(new Line(await open(port), (tookMs, well) => {
      latencies.push(tookMs);
      if (!well) errors += 1;
    }));
  }
  const request = `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
  const begunAt = performance.now();
  let sent = 0;
  await new Promise<void>((done) => {
    const timer = setInterval(() => {
      const passed = performance.now() - begunAt;
      const due = Math.min(passed / 1_000, seconds) * perSecond;
      while (sent < due) {
        sent += 1;
        const line = lines.find(({ busy }) => !busy);
        if (line === undefined) errors += 1;
        else line.ask(request);
      }
      if (passed < seconds * 1_000) return;
      if (lines.some(({ busy }) => busy) && passed < (seconds + GRACE_S) * 1_000) return;
      clearInterval(timer);
      done();
    }, 1);
  });
  for (const { socket } of lines) socket.destroy();
  latencies.sort((a, b) => a - b);
  const at = (share: number): number =>
    latencies[Math.floor(latencies.length * share)] ?? Number.NaN;
  return { p50Ms: at(0.5), p99Ms: at(0.99), requests: latencies.length, errors };
}
