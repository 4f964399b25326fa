/** Trace Context: what is a trace of the caller's and what is not, and where a request stands. */

import t from 'tap';

import { formatTraceparent, incomingTrace, parseTraceparent } from '../../contract/trace.ts';
import { Tracing } from '../../daemon/tracing.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const GOOD = `00-${TRACE}-${SPAN}-01`;

t.test('a traceparent is read with care', async (t) => {
  const good: [string, boolean][] = [
    [GOOD, true], [`00-${TRACE}-${SPAN}-00`, false], [`00-${TRACE}-${SPAN}-03`, true],
    [`00-${TRACE}-${SPAN}-fe`, false], [`01-${TRACE}-${SPAN}-01`, true],
    [`cc-${TRACE}-${SPAN}-01-what-comes-later`, true],
  ];
  for (const [text, sampled] of good) {
    t.strictSame(parseTraceparent(text), { traceId: TRACE, spanId: SPAN, sampled }, text);
  }
  const bad = [
    '', '00', `ff-${TRACE}-${SPAN}-01`, `00-${TRACE}-${SPAN}-01-more`, `00-${TRACE}-${SPAN}`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`, `00-${'0'.repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`, `00-${TRACE}-${SPAN}-1`, `00-${TRACE}-${SPAN}-0g`,
    `00-${TRACE.slice(1)}-${SPAN}-01`, `00-${TRACE}-${SPAN}0-01`, ` ${GOOD}`, `${GOOD} `,
    `01-${TRACE}-${SPAN}-01more`, `${GOOD}\n`, `01-${TRACE}-${SPAN}-01-${'x'.repeat(1_000)}`,
  ];
  for (const text of bad) t.equal(parseTraceparent(text), null, JSON.stringify(text));
  t.equal(formatTraceparent({ traceId: TRACE, spanId: SPAN, sampled: true }), GOOD);
});

t.test('a tracestate goes with a traceparent, is one list, and bounded', async (t) => {
  const stateOf = (...states: string[]): string | undefined => incomingTrace(
    ['traceparent', GOOD, ...states.flatMap((state) => ['tracestate', state])])?.state;
  t.equal(stateOf(), '');
  t.equal(stateOf('a=1, b=2', 'tenant@vendor=x y'), 'a=1,b=2,tenant@vendor=x y');
  t.equal(stateOf('a=1,,b=2'), 'a=1,b=2');
  for (const bad of [
    'A=1', 'a', 'a=1=2', 'a=\u0007', 'é=1', `a=${'x'.repeat(600)}`,
    Array.from({ length: 33 }, (_, at) => `a${at}=1`).join(),
  ]) {
    t.equal(stateOf(bad), '', bad.slice(0, 40));
  }
  t.equal(incomingTrace(['tracestate', 'a=1']), null, 'nothing by itself');
  t.equal(incomingTrace(['traceparent', GOOD, 'traceparent', GOOD]), null, 'two are none');
  t.equal(incomingTrace(['traceparent', 'nonsense', 'tracestate', 'a=1']), null);
  t.match(incomingTrace(['accept', '*/*', 'traceparent', GOOD]), { header: GOOD });
});

t.test("a request's span is in its caller's trace, or begins one", async (t) => {
  const tracing = new Tracing({ sample: 0.25, trustIncoming: true });
  const within = tracing.open(['traceparent', GOOD, 'tracestate', 'a=1']);
  t.match(within, { traceId: TRACE, parentId: SPAN, sampled: true, state: 'a=1' });
  t.match(within.spanId, /^[0-9a-f]{16}$/);
  t.not(within.spanId, SPAN);
  t.equal(tracing.open(['traceparent', GOOD.replace(/01$/, '00')]).sampled, false,
    'the caller does not sample it');
  const ids = new Set<string>();
  let sampled = 0;
  const count = 4_000;
  for (let index = 0; index < count; index += 1) {
    const { traceId, spanId, parentId, sampled: isSampled } = tracing.open(['traceparent', 'bad']);
    ids.add(traceId).add(spanId);
    t.equal(parentId, null);
    if (!/^[0-9a-f]{32}$/.test(traceId) || !/^[0-9a-f]{16}$/.test(spanId)) t.fail('a bad id');
    if (isSampled) sampled += 1;
  }
  t.equal(ids.size, 2 * count);
  t.ok(sampled > count * 0.2 && sampled < count * 0.3, `${sampled} of ${count} at 0.25`);
});

t.test('a caller that is not trusted says nothing', async (t) => {
  const tracing = new Tracing({ sample: 0, trustIncoming: false });
  const { traceId, parentId, sampled, state } =
    tracing.open(['traceparent', GOOD, 'tracestate', 'a=1']);
  t.not(traceId, TRACE);
  t.strictSame([parentId, sampled, state], [null, false, '']);
  t.equal(new Tracing({ sample: 1, trustIncoming: false }).open([]).sampled, true);
});
