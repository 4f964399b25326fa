#!/usr/bin/env node
// The `wardian` command. Plain JavaScript, so that any Node from 18 on can start it: it finds a Node 24 (this one, or the
// one that npm installed beside the package) and runs the daemon or the command line in it.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const NEEDED = 24;
/** Guests that wait are suspended by JSPI, which early releases of Node 24 lack. */
const WAITS = typeof WebAssembly.Suspending === 'function';
/** What npm calls the packages that hold nothing but a Node. */
const PACKAGES = [`node-${process.platform}-${process.arch}`, `node-bin-${process.platform}-${process.arch}`];
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2'];
const root = dirname(dirname(fileURLToPath(import.meta.url)));

function entry() {
  const daemon = ['serve', 'start', 'restore'].includes(process.argv[2] ?? '');
  const name = daemon ? 'daemon/main' : 'ops/cli/main';
  const source = join(root, `${name}.ts`);
  return existsSync(source) ? source : join(root, 'dist', `${name}.js`);
}

function bundledNode() {
  const require = createRequire(import.meta.url);
  for (const name of PACKAGES) {
    try {
      const binary = join(dirname(require.resolve(`${name}/package.json`)), 'bin', 'node');
      if (existsSync(binary)) return binary;
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  return null;
}

function runIn(node) {
  const child = spawn(node, ['--disable-warning=ExperimentalWarning', entry(), ...process.argv.slice(2)], {
    stdio: 'inherit',
  });
  for (const signal of SIGNALS) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    console.error(`wardian: ${node} cannot be started: ${error.code ?? error.message}`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    for (const name of SIGNALS) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  });
}

async function runHere() {
  // node:sqlite announces itself as experimental at every start; operators can do nothing about it.
  const emit = process.emitWarning;
  process.emitWarning = (warning, ...rest) => {
    const type = typeof rest[0] === 'string' ? rest[0] : rest[0]?.type;
    if (type !== 'ExperimentalWarning') emit.call(process, warning, ...rest);
  };
  process.argv[1] = entry();
  await import(pathToFileURL(entry()).href);
}

const major = Number(process.versions.node.split('.')[0]);
const other = process.env.WARDIAN_NODE || (major === NEEDED && WAITS ? null : bundledNode());
if (other !== null) {
  runIn(other);
} else if (major >= NEEDED && WAITS) {
  await runHere();
} else {
  console.error(`wardian: Node ${NEEDED} is needed (24.21 or later) and this is ${process.version}; npm has brought no `
    + `${PACKAGES[0]}. Install Node ${NEEDED}, or set WARDIAN_NODE to one.`);
  process.exit(1);
}
