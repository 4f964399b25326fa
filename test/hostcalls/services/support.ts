/**
 * Real servers on loopback for the tests of the services: HTTP upstreams, upstreams that write what
 * they like, and a DNS server over UDP and TCP; and budgets for the guests.
 */

import { createSocket } from 'node:dgram';
import type { Socket as UdpSocket } from 'node:dgram';
import { createServer as createHttpServer } from 'node:http';
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import packet from 'dns-packet';
import type { Answer, DecodedPacket, Packet, Question } from 'dns-packet';
import type { Test } from 'tap';
import { DnsError, UpstreamError } from '../../../hostcalls/services/errors.ts';
import { CachingResolver } from '../../../hostcalls/services/dns/resolver.ts';
import { EgressPolicy } from '../../../hostcalls/services/egress/policy.ts';
import { HeldBytes } from '../../../hostcalls/services/held-bytes.ts';
import { UpstreamClient } from '../../../hostcalls/services/http/client.ts';
import { SubrequestScope } from '../../../hostcalls/services/scope.ts';
import type { SubrequestLimits } from '../../../hostcalls/services/scope.ts';

export const LIMITS: SubrequestLimits = {
  subrequests: 50,
  subrequestsConcurrent: 10,
  subrequestBytes: 1024 * 1024,
  subrequestMs: 10_000,
  dnsQueries: 20,
  streamBytes: 16 * 1024 * 1024,
  streamStallMs: 10_000,
};

export function scope(
  limits: Partial<SubrequestLimits> = {},
  tenantId = 1,
  held = new HeldBytes(),
): SubrequestScope {
  return new SubrequestScope(tenantId, { ...LIMITS, ...limits }, held);
}

export const portOf = (server: { address(): unknown }): number =>
  (server.address() as AddressInfo).port;

async function listening<S extends Server>(t: Test, server: S, host: string): Promise<S> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return server;
}

export interface HttpUpstream {
  readonly url: string;
  readonly port: number;
  readonly server: HttpServer;
  /** `METHOD path` of every request. */
  readonly seen: string[];
  connections: number;
}

export async function httpUpstream(
  t: Test,
  handler: (request: IncomingMessage, response: ServerResponse) => void,
  host = '127.0.0.1',
): Promise<HttpUpstream> {
  const seen: string[] = [];
  const server = createHttpServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    handler(request, response);
  });
  const upstream = { url: '', port: 0, server, seen, connections: 0 };
  server.on('connection', () => {
    upstream.connections += 1;
  });
  await listening(t, server, host);
  upstream.port = portOf(server);
  upstream.url = `http://${host.includes(':') ? `[${host}]` : host}:${upstream.port}`;
  return upstream;
}

/** Writes bytes of the test's choice; `connected` gets each socket after its first data. */
export async function rawUpstream(
  t: Test,
  connected: (socket: Socket, count: number, received: string) => void,
): Promise<{ url: string; server: Server; connections: () => number }> {
  let count = 0;
  const server = await listening(
    t,
    createTcpServer((socket) => {
      count += 1;
      const mine = count;
      socket.on('data', (data) => connected(socket, mine, data.toString('latin1')));
    }),
    '127.0.0.1',
  );
  return { url: `http://127.0.0.1:${portOf(server)}`, server, connections: () => count };
}

export type DnsAnswering = (
  question: Question,
  query: DecodedPacket,
  transport: 'udp' | 'tcp',
) => Packet | Buffer | readonly Buffer[] | null;

export interface DnsServer {
  readonly address: string;
  /** `TYPE name` of every query, with the transport. */
  readonly asked: string[];
  readonly ports: Set<number>;
  readonly ids: Set<number>;
}

export function dnsReply(
  query: DecodedPacket,
  answers: readonly Answer[],
  extra: Packet = {},
): Packet {
  return {
    type: 'response',
    id: query.id ?? 0,
    flags: packet.RECURSION_AVAILABLE,
    questions: query.questions ?? [],
    answers: [...answers],
    ...extra,
  };
}

export const recordA = (name: string, data: string, ttl = 60): Answer => ({
  type: 'A',
  name,
  data,
  ttl,
  class: 'IN',
});

function encoded(answer: ReturnType<DnsAnswering>): readonly Buffer[] {
  if (answer === null) return [];
  if (Array.isArray(answer)) return answer as readonly Buffer[];
  return [Buffer.isBuffer(answer) ? answer : packet.encode(answer as Packet)];
}

/** Null if another program has the port. */
function boundUdp(port: number): Promise<UdpSocket | null> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE') reject(error);
      else socket.close(() => resolve(null));
    });
    socket.bind(port, '127.0.0.1', () => resolve(socket));
  });
}

export async function dnsServer(t: Test, answering: DnsAnswering): Promise<DnsServer> {
  const asked: string[] = [];
  const ports = new Set<number>();
  const ids = new Set<number>();
  const answersTo = (message: Buffer, transport: 'udp' | 'tcp'): readonly Buffer[] => {
    const query = packet.decode(message);
    const question = query.questions?.[0];
    if (question === undefined) return [];
    asked.push(`${transport} ${question.type} ${question.name}`);
    ids.add(query.id ?? -1);
    return encoded(answering(question, query, transport));
  };
  const accept = (socket: Socket): void => {
    socket.on('data', (data) => {
      for (const message of answersTo(data.subarray(2), 'tcp')) {
        const length = Buffer.alloc(2);
        length.writeUInt16BE(message.length);
        // In two writes: the answer comes in pieces.
        socket.write(length);
        setImmediate(() => socket.write(message));
      }
    });
  };
  // The same port must be free for both; the next one is tried until it is.
  let tcp = await listening(t, createTcpServer(accept), '127.0.0.1');
  let udp = await boundUdp(portOf(tcp));
  while (udp === null) {
    tcp = await listening(t, createTcpServer(accept), '127.0.0.1');
    udp = await boundUdp(portOf(tcp));
  }
  const socket = udp;
  socket.on('message', (message, from) => {
    ports.add(from.port);
    for (const answer of answersTo(message, 'udp')) socket.send(answer, from.port, from.address);
  });
  t.teardown(() => {
    socket.close();
  });
  return { address: `127.0.0.1:${portOf(tcp)}`, asked, ports, ids };
}

export interface ClientOptions {
  readonly allow?: readonly string[];
  readonly dnsServers?: readonly string[];
  readonly ca?: string;
  readonly idleMs?: number;
}

/** A client whose resolver knows no hosts file. Without `dnsServers`, names lead nowhere. */
export function upstreamClient(
  t: Test,
  { allow = ['127.0.0.0/8'], dnsServers = ['127.0.0.1:9'], ca, idleMs }: ClientOptions = {},
): UpstreamClient {
  const resolver = new CachingResolver({
    servers: dnsServers,
    hostsPath: '/nonexistent/hosts',
    timeoutMs: 2_000,
  });
  const client = new UpstreamClient({
    policy: new EgressPolicy(allow),
    lookup: (name, tenantId) => resolver.lookup(name, tenantId),
    ca,
    ...(idleMs === undefined ? {} : { idleMs }),
  });
  t.teardown(() => client.close());
  return client;
}

export const get = (url: string, headers: readonly string[] = []) => ({
  method: 'GET',
  url,
  headers,
  body: null,
});

/** The reason of the service's error; anything else is thrown on. */
export async function reasonOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'no error';
  } catch (error) {
    if (error instanceof UpstreamError || error instanceof DnsError) return error.reason;
    throw error;
  }
}

/** Waits for what other code does; a test that waits for ever is ended by the runner's limit. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(5);
}
