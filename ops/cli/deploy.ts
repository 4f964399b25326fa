/** `wardian deploy`: stages on stderr, the URL and nothing else on stdout. */

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { escapeControls } from '../escape.ts';
import { CliError, LostError, streamApi } from './client.ts';
import type { ApiCall, ClientOptions } from './client.ts';
import { readUpload } from './upload.ts';
import type { Upload } from './upload.ts';

export interface DeployFlags {
  readonly name?: string;
  readonly language?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly debug?: boolean;
  /** Seconds. */
  readonly life?: number;
  readonly activate?: boolean;
  readonly idempotencyKey?: string;
}

interface DeployEvent {
  readonly stage: string;
  readonly message?: string;
  readonly url?: string;
  readonly version?: { readonly number: number; readonly previewUrl: string | null };
  readonly error?: { readonly code: string; readonly message: string; readonly output?: string };
}

const LEFT_OUT_SHOWN = 10;

function sayLeftOut({ leftOut }: Upload): void {
  if (leftOut.length === 0) return;
  const shown = leftOut.slice(0, LEFT_OUT_SHOWN).map(escapeControls).join(', ');
  const more = leftOut.length - LEFT_OUT_SHOWN;
  process.stderr.write(`Left out: ${shown}${more > 0 ? ` and ${more} more` : ''}\n`);
}

/** What the daemon is told to build; a guess is said, because the result may surprise. */
function languageOf({ guess }: Upload, flags: DeployFlags): string | undefined {
  if (flags.language !== undefined && flags.language !== 'auto') return flags.language;
  if (guess === null) return flags.language;
  if (flags.quiet !== true && flags.json !== true) {
    process.stderr.write(`Language: ${guess.language}, from ${escapeControls(guess.file)}\n`);
  }
  return guess.language;
}

/** Pauses before it is asked again what became of a deploy; a daemon may start meanwhile. */
const RETRY_MS = [500, 1_000, 2_000, 4_000, 8_000];

/** Throws LostError when the answer ends without a result, whatever cut it off. */
async function attempt(daemon: ClientOptions, call: ApiCall, flags: DeployFlags): Promise<string> {
  let url: string | undefined;
  let failed: CliError | undefined;
  await streamApi(daemon, call, (event) => {
    const { stage, message, error, url: appUrl, version } = event as DeployEvent;
    // A version that does not serve yet answers at its preview URL alone.
    const address = flags.activate === false ? version?.previewUrl ?? appUrl : appUrl;
    if (flags.json === true) process.stdout.write(`${JSON.stringify(event)}\n`);
    if (error !== undefined)
      failed = new CliError(`${error.message} (${error.code})`, 1, error.output ?? '');
    if (address !== undefined) url = address;
    if (flags.quiet !== true && flags.json !== true && error === undefined) {
      process.stderr.write(`${message ?? stage}\n`);
    }
  });
  if (failed !== undefined) throw failed;
  if (url === undefined) throw new LostError(daemon, new Error('no result came'));
  return url;
}

/**
 * The key makes it safe to ask again after the connection was lost: what was done meanwhile is not
 * done twice.
 */
async function insist(daemon: ClientOptions, call: ApiCall, flags: DeployFlags): Promise<string> {
  let wasLost = false;
  for (const pauseMs of RETRY_MS) {
    try {
      return await attempt(daemon, call, flags);
    } catch (error) {
      wasLost ||= error instanceof LostError;
      const isAway = error instanceof CliError && error.exitCode === 3;
      if (!wasLost || !isAway) throw error;
      process.stderr.write(`wardian: ${error.message}; asking again in ${pauseMs} ms\n`);
    }
    await sleep(pauseMs);
  }
  return attempt(daemon, call, flags);
}

export async function deploy(
  daemon: ClientOptions,
  path: string,
  flags: DeployFlags,
): Promise<void> {
  const upload = await readUpload(path);
  const label = flags.name ?? upload.label;
  if (label === '')
    throw new CliError(`${path} makes no name for the app; give one with --name`, 2);
  const language = languageOf(upload, flags);
  if (flags.quiet !== true && flags.json !== true) sayLeftOut(upload);
  const url = await insist(daemon, {
    method: 'POST',
    path: `/v1/apps/${encodeURIComponent(label)}/deploys`,
    query: {
      language, debug: flags.debug?.toString(),
      life_seconds: flags.life?.toString(),
      activate: flags.activate === false ? 'false' : undefined,
    },
    headers: { 'idempotency-key': flags.idempotencyKey ?? randomUUID() },
    body: upload.body,
    contentType: upload.contentType,
  }, flags);
  if (flags.json !== true) process.stdout.write(`${url}\n`);
}
