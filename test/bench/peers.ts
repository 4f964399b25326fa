/**
 * The servers that Wardian is measured against, installed from npm into `test/bench/.peers/`, each
 * serving the same guest through the same JavaScript glue: a fresh instance for every request.
 */

import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { rewrite } from '../../pool/rewrite/index.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const HOME = join(HERE, '.peers');
const VERSIONS = { workerd: '1.20261117.1', deno: '2.9.6' } as const;

export type PeerName = keyof typeof VERSIONS;

export interface Running {
  readonly port: number;
  stop(): Promise<void>;
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((done, failed) => {
    const server = createServer();
    server.once('error', failed);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => done(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

/**
 * Resolves once something accepts connections on the port; rejects after ten seconds or when the
 * process ended.
 */
export async function accepts(port: number, child: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
    const open = await new Promise<boolean>((done) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => {
        socket.destroy();
        done(true);
      });
      socket.once('error', () => done(false));
    });
    if (open) return;
    await new Promise((done) => {
      setTimeout(done, 50);
    });
  }
  throw new Error(`nothing listens on port ${port}`);
}

export function running(child: ChildProcess, port: number): Running {
  const ended = new Promise<void>((done) => {
    child.once('exit', () => done());
  });
  return {
    port,
    async stop() {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 3_000);
      await ended;
      clearTimeout(late);
    },
  };
}

/** Installs the peers once; later runs find them. */
export function installPeers(names: readonly PeerName[]): void {
  mkdirSync(HOME, { recursive: true });
  const missing = names.filter((name) => !existsSync(join(HOME, 'node_modules', name)));
  if (missing.length === 0) return;
  writeFileSync(join(HOME, 'package.json'), JSON.stringify({ private: true }));
  const packages = missing.map((name) => `${name}@${VERSIONS[name]}`);
  process.stderr.write(`installing ${packages.join(', ')}\n`);
  execFileSync('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', ...packages], {
    cwd: HOME,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

function prepare(name: PeerName, wasm: Uint8Array): string {
  const folder = join(HOME, name);
  mkdirSync(folder, { recursive: true });
  // The peers get the guest with its memory imported and table exported, so that the glue reaches
  // both, and without fuel: they have none to offer.
  const { bytes, memory } = rewrite(wasm, {
    memoryBytesMax: 128 * 1_024 * 1_024,
    fuel: false,
    staticTable: false,
    virtualMemory: false,
  });
  writeFileSync(join(folder, 'guest.wasm'), bytes);
  writeFileSync(
    join(folder, 'pages.json'),
    JSON.stringify({
      initial: memory?.initialPages ?? 0,
      maximum: memory?.maximumPages ?? 0,
    }),
  );
  for (const file of ['glue.js', `${name}.js`])
    copyFileSync(join(HERE, 'peers', file), join(folder, file));
  return folder;
}

async function startWorkerd(folder: string): Promise<Running> {
  const port = await freePort();
  writeFileSync(
    join(folder, 'config.capnp'),
    `
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .guest)],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const guest :Workerd.Worker = (
  modules = [
    (name = "workerd.js", esModule = embed "workerd.js"),
    (name = "glue.js", esModule = embed "glue.js"),
    (name = "guest.wasm", wasm = embed "guest.wasm"),
    (name = "pages.json", text = embed "pages.json"),
  ],
  compatibilityDate = "2025-01-01",
);
`,
  );
  const binary = join(
    HOME,
    `node_modules/@cloudflare/workerd-${process.platform}-${
      process.arch === 'x64' ? '64' : process.arch
    }/bin/workerd`,
  );
  const child = spawn(binary, ['serve', join(folder, 'config.capnp')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await accepts(port, child);
  return running(child, port);
}

async function startDeno(folder: string): Promise<Running> {
  const port = await freePort();
  const home = join(HOME, 'node_modules/@deno');
  const libc = process.platform === 'linux' ? '-glibc' : '';
  const binary = join(home, `${process.platform}-${process.arch}${libc}`, 'deno');
  const child = spawn(
    binary,
    ['run', '--allow-net', '--allow-read', '--no-prompt', join(folder, 'deno.js'), String(port)],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, DENO_NO_UPDATE_CHECK: '1', NO_COLOR: '1' },
    },
  );
  await accepts(port, child);
  return running(child, port);
}

/** Starts a peer that answers any path with the guest. */
export function startPeer(name: PeerName, wasm: Uint8Array): Promise<Running> {
  const folder = prepare(name, wasm);
  return name === 'workerd' ? startWorkerd(folder) : startDeno(folder);
}
