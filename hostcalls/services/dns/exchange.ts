/**
 * One question to the configured resolvers: over UDP from a fresh socket (so a fresh, random port)
 * that is connected to the resolver, over TCP when the answer is truncated; retried, on each
 * resolver in turn, within one time limit.
 */

import { createSocket } from 'node:dgram';
import { getServers } from 'node:dns';
import { connect, isIP } from 'node:net';
import { WardianError } from '../../../contract/errors.ts';
import { DnsError } from '../errors.ts';
import { RCODE_NAME_ERROR, isAnswerTo, isTruncated, rcodeOf } from './message.ts';

export interface Nameserver {
  readonly address: string;
  readonly port: number;
}

const DNS_PORT = 53;
/** How long a first try waits for a lost packet; doubled in every round. */
const FIRST_TRY_MS = 1_000;
const ROUNDS = 3;

function parseServer(text: string): Nameserver | null {
  const bracketed = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(text);
  const plain = /^([^:]+)(?::(\d{1,5}))?$/.exec(text);
  const address = bracketed?.[1] ?? plain?.[1] ?? text;
  const port = Number(bracketed?.[2] ?? plain?.[2] ?? DNS_PORT);
  return isIP(address) === 0 || port < 1 || port > 65_535 ? null : { address, port };
}

/** The servers named, or the system's. Throws WardianError `bad_argument`. */
export function nameservers(configured: readonly string[]): readonly Nameserver[] {
  const servers: Nameserver[] = [];
  for (const text of configured.length > 0 ? configured : getServers()) {
    const server = parseServer(text);
    if (server !== null) servers.push(server);
    else if (configured.length > 0) {
      throw new WardianError('bad_argument', `not the address of a DNS server: ${text}`);
    }
  }
  // As the C library does where nothing is configured.
  return servers.length > 0 ? servers : [{ address: '127.0.0.1', port: DNS_PORT }];
}

/** What went wrong with one resolver; its address stays with us. */
function unreachable(cause: Error): DnsError {
  return new DnsError('server_failure', 'a DNS resolver could not be reached', { cause });
}

function timedOut(): DnsError {
  return new DnsError('timeout', 'the DNS resolvers did not answer in time');
}

function askUdp(server: Nameserver, query: Buffer, timeoutMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIP(server.address) === 6 ? 'udp6' : 'udp4');
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      // Errors of a socket that is done with (an ICMP message, say) concern nobody.
      socket
        .removeAllListeners('connect')
        .removeAllListeners('message')
        .removeAllListeners('error')
        .on('error', () => {});
      socket.close();
      settle();
    };
    const timer = setTimeout(() => finish(() => reject(timedOut())), timeoutMs);
    socket.on('error', (cause) => finish(() => reject(unreachable(cause))));
    // What is not the answer is passed over, and the wait goes on: a forger must not be able to end
    // it.
    socket.on('message', (message) => {
      if (isAnswerTo(query, message)) finish(() => resolve(message));
    });
    // Not as the callback of `connect`, which Node also calls with the error when it fails.
    socket.once('connect', () => socket.send(query));
    socket.connect(server.port, server.address);
  });
}

function askTcp(server: Nameserver, query: Buffer, timeoutMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: server.address, port: server.port });
    let received = Buffer.alloc(0);
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      socket.removeAllListeners('data').destroy();
      settle();
    };
    const timer = setTimeout(() => finish(() => reject(timedOut())), timeoutMs);
    socket.on('error', (cause) => finish(() => reject(unreachable(cause))));
    socket.on('close', () => finish(() => reject(unreachable(new Error('closed early')))));
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2) return;
      const end = 2 + received.readUInt16BE(0);
      if (received.length < end) return;
      const message = received.subarray(2, end);
      if (isAnswerTo(query, message)) finish(() => resolve(message));
      else finish(() => reject(unreachable(new Error('not an answer to the question'))));
    });
    const length = Buffer.alloc(2);
    length.writeUInt16BE(query.length);
    socket.write(Buffer.concat([length, query]));
  });
}

export class DnsExchange {
  readonly #servers: readonly Nameserver[];
  readonly #timeoutMs: number;
  /** The server that answered last: a dead first one costs its time only once. */
  #preferred = 0;

  constructor(servers: readonly Nameserver[], timeoutMs: number) {
    this.#servers = servers;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * The best answer the servers give: one that says yes or no; failing that, one that says why not.
   * Throws DnsError `timeout` or `server_failure` when there is none.
   */
  async ask(query: Buffer): Promise<Buffer> {
    const deadline = performance.now() + this.#timeoutMs;
    const refused = new Map<Nameserver, Buffer>();
    let failure: unknown = timedOut();
    const start = this.#preferred;
    for (let turn = 0; turn < ROUNDS * this.#servers.length; turn += 1) {
      const index = (start + turn) % this.#servers.length;
      const server = this.#servers[index];
      if (server === undefined || refused.has(server)) continue;
      const left = deadline - performance.now();
      if (left <= 0) break;
      const round = Math.floor(turn / this.#servers.length);
      try {
        const answer = await this.#askOne(server, query, deadline, FIRST_TRY_MS * 2 ** round);
        const rcode = rcodeOf(answer);
        if (rcode === 0 || rcode === RCODE_NAME_ERROR) {
          this.#preferred = index;
          return answer;
        }
        refused.set(server, answer);
      } catch (error) {
        failure = error;
      }
    }
    for (const answer of refused.values()) return answer;
    throw failure;
  }

  async #askOne(
    server: Nameserver,
    query: Buffer,
    deadline: number,
    tryMs: number,
  ): Promise<Buffer> {
    const left = (): number => Math.max(1, deadline - performance.now());
    const answer = await askUdp(server, query, Math.min(tryMs, left()));
    return isTruncated(answer) ? askTcp(server, query, left()) : answer;
  }
}
