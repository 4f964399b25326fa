/**
 * The entry of a builder child: reads one job from standard input, does it, writes what becomes of
 * it to descriptor 3, and ends. It may crash, hang or swell: the daemon kills its process group.
 *
 *   started ──▶ ready ──(job)──▶ building ──▶ rewriting ──▶ compiling ──▶ done
 *                                    └────────────┴─────────────┴───────▶ failed
 */

import { createWriteStream, writeFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { flushCompileCache } from 'node:module';
import { constants, getPriority, setPriority } from 'node:os';
import { dirname } from 'node:path';
import { Worker } from 'node:worker_threads';

import { BuildError, encodeFrame, FrameReader } from '../contract/build.ts';
import type { BuildFailure, BuildFile, Job, JobHead, ReplyHead } from '../contract/build.ts';
import { entryUrl } from '../contract/entry.ts';
import { WardianError } from '../contract/errors.ts';
import { BUILD_HEAD_BYTES_MAX, BUILD_MS, UPLOAD_BYTES_MAX } from '../contract/limits.ts';
import { build, findLines } from './builder/steps.ts';

const REPLY_DESCRIPTOR = 3;
const WATCHDOG_GRACE_MS = 10_000;
const SOURCES: ReadonlySet<string> = new Set(['c', 'rust']);

const replies = createWriteStream('', { fd: REPLY_DESCRIPTOR });

function reply(head: ReplyHead, parts: readonly Uint8Array[] = []): Promise<void> {
  return new Promise((resolve, reject) => {
    const pieces = encodeFrame(head, parts);
    pieces.forEach((piece, index) => {
      const last = index === pieces.length - 1;
      replies.write(piece, (error) => {
        if (error) reject(error);
        else if (last) resolve();
      });
    });
  });
}

/** Builds yield to requests, and when memory runs out the system ends a build, not the daemon. */
function stepBack(): void {
  // Never up, which the system would refuse.
  setPriority(0, Math.max(getPriority(), constants.priority.PRIORITY_BELOW_NORMAL));
  if (process.platform === 'linux') writeFileSync('/proc/self/oom_score_adj', '1000');
}

function readJob(): Promise<Job> {
  return new Promise((resolve, reject) => {
    const reader = new FrameReader(BUILD_HEAD_BYTES_MAX, UPLOAD_BYTES_MAX);
    process.stdin.on('data', (chunk: Buffer) => {
      const [frame] = reader.push(chunk);
      if (frame === undefined) return;
      const { files: entries, ...rest } = frame.head as JobHead;
      const files: BuildFile[] = [];
      let offset = 0;
      for (const { path, size } of entries) {
        files.push({ path, bytes: frame.body.subarray(offset, offset + size) });
        offset += size;
      }
      resolve({ ...rest, files });
    });
    process.stdin.on('error', reject);
    // The daemon is gone, or wants this child no more.
    process.stdin.on('end', () => process.kill(-process.pid, 'SIGKILL'));
  });
}

/** Compilers read from the disk. The daemon has checked the paths; the folder is ours alone. */
async function placeFiles(files: readonly BuildFile[]): Promise<void> {
  for (const file of files) {
    await mkdir(dirname(file.path), { recursive: true });
    await writeFile(file.path, file.bytes, { flag: 'wx' });
  }
}

function failureOf(error: unknown): BuildFailure {
  if (error instanceof BuildError) {
    return { code: error.code, message: error.message, output: error.output };
  }
  if (error instanceof WardianError) {
    return { code: error.code, message: error.message, output: '' };
  }
  console.error(error);
  return { code: 'build_crashed', message: 'an internal error of the builder', output: '' };
}

async function main(): Promise<void> {
  stepBack();
  await reply({ kind: 'ready' });
  // Node would do this at the end, but children end by being killed.
  flushCompileCache();
  const job = await readJob();
  new Worker(entryUrl('./builder/watchdog', import.meta.url), {
    workerData: { parentPid: process.ppid, lifeMs: BUILD_MS + WATCHDOG_GRACE_MS },
  }).unref();
  try {
    if (job.kind === 'locate') {
      await reply({ kind: 'located', ...findLines(job) });
      process.exit(0);
    }
    if (SOURCES.has(job.language)) await placeFiles(job.files);
    const result = await build(job, (stage) => reply({ kind: 'stage', stage }));
    await reply({
      kind: 'done', moduleSize: result.module.length, artifactSize: result.artifact.length,
      facts: result.facts, warnings: result.warnings,
    }, [result.module, result.artifact]);
  } catch (error) {
    await reply({ kind: 'failed', failure: failureOf(error) });
  }
  process.exit(0);
}

await main();
