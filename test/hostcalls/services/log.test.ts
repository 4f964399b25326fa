/** The guests' log: lines, streams, limits, and the count of what was cut. */

import t from 'tap';
import { LOG_LINE_BYTES_MAX } from '../../../contract/limits.ts';
import type { GuestLogLine } from '../../../contract/messages.ts';
import { BoundedLog } from '../../../hostcalls/services/log.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function setUp(bytesMax = 65_536) {
  const lines: GuestLogLine[] = [];
  const log = new BoundedLog(7, 'request-1', bytesMax, (line) => lines.push(line));
  const texts = (): string[] => lines.map((line) => `${line.source}:${line.text}`);
  return { lines, log, texts };
}

t.test('lines carry who, when and what', async (t) => {
  const { lines, log } = setUp();
  const before = Date.now();
  log.line('debug', 'hello');
  log.line('panic', bytes('gr\u00fc\u00dfe'));
  t.match(lines, [
    { versionId: 7, requestId: 'request-1', source: 'debug', text: 'hello', cutBytes: 0 },
    { source: 'panic', text: 'gr\u00fc\u00dfe' },
  ]);
  t.ok((lines[0]?.atMs ?? 0) >= before);
  t.equal(log.bytes, 12);
  t.equal(log.cutBytes, 0);
});

t.test('line feeds part lines, and bytes that are not UTF-8 are replaced', async (t) => {
  const { log, texts } = setUp();
  log.line('debug', 'a\nb\n\nc');
  log.line('debug', 'ends\n');
  log.line('debug', '');
  log.line('debug', new Uint8Array([0x61, 0xff, 0x62]));
  t.same(texts(), [
    'debug:a',
    'debug:b',
    'debug:',
    'debug:c',
    'debug:ends',
    'debug:',
    'debug:a\ufffdb',
  ]);
});

t.test('streams are parted into lines across writes', async (t) => {
  const { log, texts } = setUp();
  for (const byte of bytes('one\r\ntw')) log.write('stdout', new Uint8Array([byte]));
  log.write('stderr', bytes('error'));
  log.write('stdout', bytes('o\nthree\nfour'));
  t.same(texts(), ['stdout:one', 'stdout:two', 'stdout:three']);
  log.close();
  t.same(texts().slice(3), ['stdout:four', 'stderr:error']);
  log.close();
  t.equal(texts().length, 5, 'closing twice does nothing');
  log.line('debug', 'late');
  t.equal(texts().length, 5);
});

t.test('a buffer that is written again after the call is not seen', async (t) => {
  const { log, texts } = setUp();
  const memory = bytes('abc');
  log.write('stdout', memory);
  memory.fill(0x7a);
  log.write('stdout', bytes('\n'));
  t.same(texts(), ['stdout:abc']);
});

t.test('a long line is cut, not within a character', async (t) => {
  const { lines, log } = setUp();
  log.line('debug', 'x'.repeat(LOG_LINE_BYTES_MAX + 100));
  t.equal(lines[0]?.text.length, LOG_LINE_BYTES_MAX);
  t.equal(lines[0]?.cutBytes, 100);
  const character = '\u{1f331}';
  log.line('debug', `x${character.repeat(LOG_LINE_BYTES_MAX / 4)}`);
  t.equal(Buffer.byteLength(lines[1]?.text ?? ''), LOG_LINE_BYTES_MAX - 3);
  t.equal(lines[1]?.cutBytes, 4);
  t.notOk(lines[1]?.text.includes('\ufffd'));
  log.write('stdout', new Uint8Array(3 * LOG_LINE_BYTES_MAX).fill(0x79));
  log.write('stdout', bytes('y\n'));
  t.equal(lines[2]?.text.length, LOG_LINE_BYTES_MAX);
  t.equal(lines[2]?.cutBytes, 2 * LOG_LINE_BYTES_MAX + 1);
  t.equal(log.cutBytes, 100 + 4 + 2 * LOG_LINE_BYTES_MAX + 1);
  t.equal(log.overBytes, 0, 'the limit of a line is another');
  log.close();
  t.equal(lines.length, 3);
});

t.test('over the limit of a request lines are dropped and counted', async (t) => {
  const { lines, log } = setUp(10);
  log.line('debug', 'abcdef');
  log.line('debug', 'ghijkl');
  log.line('debug', 'dropped');
  log.write('stdout', bytes('dropped, too\nand this'));
  log.close();
  t.match(lines, [
    { text: 'abcdef', cutBytes: 0 },
    { text: 'ghi', cutBytes: 3 },
    {
      source: 'wardian', cutBytes: 7 + 21,
      text: 'log_bytes_exhausted: logged 9 bytes, and 31 more were over the limit of 10 bytes per '
        + 'request, of which each line takes one as well',
    },
  ]);
  t.equal(lines.length, 3);
  t.equal(log.bytes, 9);
  t.equal(log.cutBytes, 3 + 7 + 21);
  t.equal(log.overBytes, 3 + 7 + 21);
});

t.test('a line that the limit cuts is the first that is over it', async (t) => {
  const { lines, log } = setUp(LOG_LINE_BYTES_MAX + 11);
  log.line('debug', 'x'.repeat(LOG_LINE_BYTES_MAX + 5));
  t.equal(log.overBytes, 0);
  log.line('debug', '0123456789');
  t.equal(log.overBytes, 0, 'exactly as much as it may');
  const other = setUp(LOG_LINE_BYTES_MAX + 11);
  other.log.line('debug', 'x'.repeat(LOG_LINE_BYTES_MAX));
  other.log.line('debug', '0123456789a');
  t.equal(other.log.overBytes, 1);
  for (const one of [log, other.log]) one.close();
  t.equal(lines.length, 2, 'nothing was over it');
  t.match(other.lines.at(-1), { source: 'wardian', text: /, and 1 more were over/, cutBytes: 0 });
});

t.test('empty lines and huge strings are not free', async (t) => {
  const { lines, log } = setUp(100);
  log.write('stdout', new Uint8Array(1_000_000).fill(0x0a));
  log.line('debug', '\n'.repeat(1_000_000));
  log.line('debug', 'x'.repeat(50_000_000));
  log.close();
  t.ok(lines.length <= 102, `${lines.length} lines`);
  t.ok(log.cutBytes > 50_000_000);
});
