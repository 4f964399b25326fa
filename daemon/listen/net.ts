/**
 * The listener on plain sockets and our own parser: the whole contract, and nearly the speed of the
 * fastest engine. See docs/rationale.md, "Listeners", for why it exists.
 */

import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';

import { LiveMap } from '../../contract/live-map.ts';
import { sweepIntervalMs } from './exchange.ts';
import { Flight } from './flight.ts';
import type { Place } from './head.ts';
import type { DrainResult, EngineOptions, Handler, Listener } from './listener.ts';
import { Connection } from './net-connection.ts';
import type { ConnectionOwner } from './net-connection.ts';
import { emptyHead } from './parser.ts';

/** Connections that the system may hold until we accept them; it may allow fewer. */
const BACKLOG = 1_024;

class NetListener implements Listener, ConnectionOwner {
  readonly engine = 'node:net';
  readonly engineNote: string;
  readonly options: EngineOptions;
  readonly handler: Handler;
  readonly flight = new Flight();
  readonly head = emptyHead();
  readonly place: Place = { target: '', host: '', fault: '' };
  readonly #server: Server;
  readonly #connections = new LiveMap<Connection>();
  #accepted = 0;
  readonly #sweep: NodeJS.Timeout;
  address = { host: '', port: 0 };
  draining = false;

  constructor(options: EngineOptions, handler: Handler, note: string) {
    this.options = options;
    this.handler = handler;
    this.engineNote = note;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const connection = new Connection(this, socket, this.#accepted++);
      this.#connections.set(connection.number, connection);
    });
    this.#sweep = setInterval(() => this.#sweepAll(), sweepIntervalMs(options.limits));
    this.#sweep.unref();
  }

  open(): Promise<this> {
    const { promise, resolve, reject } = Promise.withResolvers<this>();
    this.#server.once('error', (error) => {
      clearInterval(this.#sweep);
      reject(error);
    });
    const { host, port } = this.options;
    this.#server.listen({ host, port, backlog: BACKLOG }, () => {
      this.address = { host, port: (this.#server.address() as AddressInfo).port };
      resolve(this);
    });
    return promise;
  }

  forget(connection: Connection): void {
    this.#connections.delete(connection.number);
  }

  #sweepAll(): void {
    const now = performance.now();
    for (const connection of this.#connections.values()) connection.sweep(now);
  }

  connections(): number {
    return this.#connections.size;
  }

  async drain(deadlineMs: number): Promise<DrainResult> {
    this.draining = true;
    this.#server.close();
    const result = await this.flight.drain(deadlineMs);
    await this.close();
    return result;
  }

  async close(): Promise<void> {
    clearInterval(this.#sweep);
    const closed = new Promise<void>((resolve) => { this.#server.close(() => resolve()); });
    for (const { socket } of this.#connections.values()) socket.destroy();
    await closed;
  }
}

export function listenOnNet(
  options: EngineOptions, handler: Handler, note: string,
): Promise<Listener> {
  return new NetListener(options, handler, note).open();
}
