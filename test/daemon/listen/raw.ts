/**
 * A client that sends exact bytes and takes answers apart without forgiving anything: what the
 * conformance suite looks through.
 */

import { connect } from 'node:net';
import type { Socket } from 'node:net';

export interface RawResponse {
  readonly version: string;
  readonly status: number;
  /** Flat, names in lower case. */
  readonly headers: readonly string[];
  readonly body: Buffer;
  /** 1xx answers that came before. */
  readonly interim: readonly number[];
}

export function header(response: RawResponse, name: string): string | undefined {
  const all = headerLines(response, name);
  return all.length > 1 ? all.join(' AND ') : all[0];
}

export function headerLines(response: RawResponse, name: string): string[] {
  const lines: string[] = [];
  for (let i = 0; i < response.headers.length; i += 2) {
    if (response.headers[i] === name) lines.push(response.headers[i + 1] as string);
  }
  return lines;
}

const WAIT_MS = 5_000;

export class RawClient {
  readonly socket: Socket;
  #buffer = Buffer.alloc(0);
  #ended = false;
  #wake: (() => void) | null = null;
  /** Error code of the connection, '' when there was none. */
  error = '';

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (piece: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, piece]);
      this.#wake?.();
    });
    socket.on('end', () => {
      this.#ended = true;
      this.#wake?.();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error.code ?? error.message;
    });
    socket.on('close', () => {
      this.#ended = true;
      this.#wake?.();
    });
  }

  /** Text is sent one byte per character. */
  write(bytes: string | Uint8Array): this {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
    return this;
  }

  /** Writes each byte as a segment of its own. */
  async writeSlowly(text: string): Promise<void> {
    for (const byte of text) {
      this.write(byte);
      await new Promise((resolve) => { setImmediate(resolve); });
    }
  }

  async #more(what: string): Promise<void> {
    if (this.#ended) throw new Error(`the connection ended ${what}; ${this.#rest()}`);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(
      () => reject(new Error(`nothing came for ${WAIT_MS} ms ${what}; ${this.#rest()}`)), WAIT_MS);
    this.#wake = resolve;
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#wake = null;
    }
  }

  #rest(): string {
    return `left: ${JSON.stringify(this.#buffer.toString('latin1').slice(0, 400))} ${this.error}`;
  }

  #take(length: number): Buffer {
    const taken = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    return taken;
  }

  async #line(): Promise<string> {
    for (;;) {
      const end = this.#buffer.indexOf('\r\n');
      if (end >= 0) return this.#take(end + 2).toString('latin1', 0, end);
      await this.#more('within a line');
    }
  }

  async #bytes(length: number): Promise<Buffer> {
    while (this.#buffer.length < length) {
      await this.#more(`after ${this.#buffer.length} of ${length} bytes`);
    }
    return this.#take(length);
  }

  async #chunks(): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for (;;) {
      const size = await this.#line();
      if (!/^[0-9a-fA-F]+$/.test(size)) throw new Error(`bad chunk size ${JSON.stringify(size)}`);
      const length = Number.parseInt(size, 16);
      if (length > 0) pieces.push(await this.#bytes(length));
      if (await this.#line() !== '') throw new Error('a chunk does not end where it says');
      if (length === 0) return Buffer.concat(pieces);
    }
  }

  /** The next final response. `head`: it answers a HEAD request. */
  async response(options: { head?: boolean } = {}): Promise<RawResponse> {
    const interim: number[] = [];
    for (;;) {
      const line = await this.#line();
      const match = /^(HTTP\/1\.1) ([1-5]\d\d) ([\x20-\x7e]*)$/.exec(line);
      if (match === null) throw new Error(`bad status line ${JSON.stringify(line)}`);
      const status = Number(match[2]);
      const headers: string[] = [];
      for (;;) {
        const field = await this.#line();
        if (field === '') break;
        const parts = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?(.*)$/.exec(field);
        if (parts === null) throw new Error(`bad header line ${JSON.stringify(field)}`);
        headers.push((parts[1] as string).toLowerCase(), parts[2] as string);
      }
      if (status < 200) {
        interim.push(status);
        continue;
      }
      const response = { version: match[1] as string, status, headers, interim };
      const isHead = options.head === true || status === 204 || status === 304;
      return { ...response, body: isHead ? Buffer.alloc(0) : await this.#body(headers) };
    }
  }

  async #body(headers: string[]): Promise<Buffer> {
    const find = (name: string): string[] =>
      headers.filter((_, i) => i % 2 === 1 && headers[i - 1] === name);
    const lengths = find('content-length');
    const codings = find('transfer-encoding');
    if (lengths.length + codings.length > 1) throw new Error('framed more than once');
    if (codings.length === 1) return this.#chunks();
    if (lengths.length === 1) return this.#bytes(Number(lengths[0]));
    return this.rest();
  }

  /** Everything until the server ends the connection. */
  async rest(): Promise<Buffer> {
    while (!this.#ended) await this.#more('before its end');
    return this.#take(this.#buffer.length);
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  destroy(): void {
    this.socket.destroy();
  }
}

export function openRaw(port: number, host = '127.0.0.1'): Promise<RawClient> {
  const { promise, resolve, reject } = Promise.withResolvers<RawClient>();
  const socket = connect({ port, host, noDelay: true });
  socket.once('error', reject);
  socket.once('connect', () => {
    socket.off('error', reject);
    resolve(new RawClient(socket));
  });
  return promise;
}

/** One request on a connection of its own. */
export async function exchangeRaw(port: number, bytes: string): Promise<RawResponse> {
  const client = await openRaw(port);
  try {
    return await client.write(bytes).response();
  } finally {
    client.destroy();
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => { setTimeout(resolve, ms); });
}
