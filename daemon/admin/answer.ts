/** How the admin API's answers are written: whole, as a stream, line by line, or as a problem. */

import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';

import { MethodNotAllowed } from './match.ts';
import { PROBLEM_TYPE, problemOf } from './problem.ts';
import type { AdminAnswer } from './route.ts';

const DISCARD_MS = 2_000;
const COMMON_HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };

async function writeEvents(
  response: ServerResponse, answer: { status: number; events: AsyncIterable<unknown> },
): Promise<void> {
  response.writeHead(answer.status, { ...COMMON_HEADERS, 'content-type': 'application/x-ndjson' });
  for await (const event of answer.events) {
    if (response.destroyed) return;
    if (!response.write(`${JSON.stringify(event)}\n`)) {
      await Promise.race([once(response, 'drain'), once(response, 'close')]);
    }
  }
  response.end();
}

export async function writeAnswer(response: ServerResponse, answer: AdminAnswer): Promise<void> {
  if ('events' in answer) {
    await writeEvents(response, answer);
  } else if ('json' in answer) {
    const body = JSON.stringify(answer.json);
    response.writeHead(answer.status, {
      ...COMMON_HEADERS, 'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    }).end(body);
  } else if ('bytes' in answer) {
    response.writeHead(answer.status, {
      ...COMMON_HEADERS, ...answer.headers, 'content-type': answer.contentType,
      'content-length': answer.bytes.length,
    }).end(answer.bytes);
  } else if ('stream' in answer) {
    response.writeHead(answer.status, {
      ...COMMON_HEADERS, 'content-type': answer.contentType, 'content-length': answer.byteLength,
    });
    await pipeline(answer.stream, response);
  } else if ('text' in answer) {
    response.writeHead(answer.status, {
      ...COMMON_HEADERS, 'content-type': answer.contentType,
      'content-length': Buffer.byteLength(answer.text),
    }).end(answer.text);
  } else {
    response.writeHead(answer.status, COMMON_HEADERS).end();
  }
}

/**
 * A body that was refused is read on and thrown away for a moment: closing at once would reset the
 * connection, and a client that is still sending would not see the answer.
 */
function discardBody(request: IncomingMessage): void {
  request.resume();
  const timer = setTimeout(() => request.destroy(), DISCARD_MS);
  timer.unref();
  request.once('close', () => clearTimeout(timer));
}

export function writeProblem(
  request: IncomingMessage, response: ServerResponse, error: unknown,
): void {
  if (response.headersSent || response.destroyed) {
    // The answer is under way: cutting it off is the only way left to tell.
    response.destroy();
    return;
  }
  const problem = problemOf(error);
  const headers: Record<string, string> = {
    ...COMMON_HEADERS, 'content-type': PROBLEM_TYPE, 'wardian-error': problem.code,
  };
  if (problem.status === 401) headers['www-authenticate'] = 'Bearer';
  if (problem.status === 429 || problem.status === 503) headers['retry-after'] = '10';
  if (error instanceof MethodNotAllowed) headers['allow'] = error.allowed.join(', ');
  if (!request.complete) discardBody(request);
  response.writeHead(problem.status, headers).end(JSON.stringify(problem));
}
