/** Values that must not stand on the command line: from stdin, or typed without being shown. */

import { CliError } from './client.ts';

const CONTROL_C = '\u0003';
const CONTROL_D = '\u0004';
const BACKSPACES = new Set(['\u0008', '\u007f']);

async function readStdin(bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin) {
    size += (chunk as Buffer).length;
    if (size > bytesMax) throw new CliError(`stdin holds more than ${bytesMax} bytes`, 2);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

function typed(question: string): Promise<string> {
  const { stdin } = process;
  // Before the question: the terminal itself would show what is typed until then.
  stdin.setRawMode(true);
  stdin.setEncoding('utf8');
  return new Promise((resolve, reject) => {
    let text = '';
    const end = (error: CliError | null): void => {
      stdin.off('data', onData);
      stdin.setRawMode(false);
      stdin.pause();
      process.stderr.write('\n');
      if (error === null) resolve(text);
      else reject(error);
    };
    const onData = (data: string): void => {
      for (const character of data) {
        if (character === CONTROL_C) return end(new CliError('interrupted'));
        if (character === '\r' || character === '\n' || character === CONTROL_D) return end(null);
        text = BACKSPACES.has(character) ? [...text].slice(0, -1).join('') : text + character;
      }
    };
    stdin.on('data', onData);
    process.stderr.write(question);
  });
}

/**
 * Bytes from stdin as they are; one line end at their end is taken off unless `exact`. On a
 * terminal, a line that is not shown.
 */
export async function readValue(
  question: string, bytesMax: number, { exact = false } = {},
): Promise<Buffer> {
  if (process.stdin.isTTY) return Buffer.from(await typed(question));
  const bytes = await readStdin(bytesMax + 2);
  if (exact) return bytes;
  const end = bytes.at(-1) === 0x0a ? (bytes.at(-2) === 0x0d ? 2 : 1) : 0;
  return bytes.subarray(0, bytes.length - end);
}
