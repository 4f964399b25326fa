/**
 * The part of hyper-express and of the engine under it that is used here, as types, and loading
 * them: both are optional, and the engine runs only where its author built it for.
 */

import { createRequire } from 'node:module';

/** The engine's request: valid only inside the route's call. */
export interface UwsRequest {
  getCaseSensitiveMethod(): string;
  getUrl(): string;
  getQuery(): string | undefined;
  forEach(callback: (name: string, value: string) => void): void;
}

/** The engine's response: valid until it has ended or was aborted. */
export interface UwsResponse {
  writeStatus(status: string): UwsResponse;
  writeHeader(name: string, value: string | Uint8Array): UwsResponse;
  write(piece: Uint8Array | string): boolean;
  end(body?: Uint8Array | string, close?: boolean): UwsResponse;
  endWithoutBody(length?: number, close?: boolean): UwsResponse;
  tryEnd(piece: Uint8Array, total: number): [isWritten: boolean, isOver: boolean];
  getWriteOffset(): number;
  onWritable(callback: (offset: number) => boolean): UwsResponse;
  onAborted(callback: () => void): UwsResponse;
  onData(callback: (piece: ArrayBuffer, isLast: boolean) => void): UwsResponse;
  cork(callback: () => void): UwsResponse;
  getRemoteAddress(): ArrayBuffer;
  getRemotePort(): number;
  pause(): void;
  resume(): void;
  close(): UwsResponse;
}

export interface UwsApp {
  any(pattern: string, handler: (response: UwsResponse, request: UwsRequest) => void): void;
  filter(callback: (response: UwsResponse, change: number) => void): void;
}

export interface HyperExpressServer {
  listen(port: number, host: string): Promise<unknown>;
  close(): boolean;
  force_close(): boolean;
  readonly port: number;
  readonly uws_instance: UwsApp;
  readonly handlers: { on_not_found: unknown };
}

export interface HyperExpress {
  Server: new (options: { auto_close: boolean }) => HyperExpressServer;
}

/**
 * The engine's own bound on a head, read when it loads. Above any limit of ours, so that ours
 * answers first.
 */
const ENGINE_HEAD_BYTES_MAX = 128 * 1024;
const ENGINE_HEAD_VARIABLE = 'UWS_HTTP_MAX_HEADERS_SIZE';
let loaded: HyperExpress | string | null = null;

/** hyper-express, or one line on why it or its engine does not load here. */
export function loadHyperExpress(): HyperExpress | string {
  if (loaded !== null) return loaded;
  const before = process.env[ENGINE_HEAD_VARIABLE];
  process.env[ENGINE_HEAD_VARIABLE] = String(ENGINE_HEAD_BYTES_MAX);
  try {
    loaded = createRequire(import.meta.url)('hyper-express') as HyperExpress;
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND';
    loaded = missing ? 'hyper-express is not installed' : firstLine(error);
  } finally {
    if (before === undefined) delete process.env[ENGINE_HEAD_VARIABLE];
    else process.env[ENGINE_HEAD_VARIABLE] = before;
  }
  return loaded;
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] as string;
}
