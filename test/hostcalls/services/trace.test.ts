/** What upstreams are told of the trace, hop by hop, and what is kept of each hop. */

import t from 'tap';

import { TRACE_SPANS_MAX } from '../../../contract/limits.ts';
import type { FlatHeaders } from '../../../contract/messages.ts';
import { parseTraceparent } from '../../../contract/trace.ts';
import { HeldBytes } from '../../../hostcalls/services/held-bytes.ts';
import { SubrequestScope } from '../../../hostcalls/services/scope.ts';
import { OutgoingTrace, SpanList, openSpans } from '../../../hostcalls/services/trace.ts';
import { LIMITS, get, httpUpstream, rawUpstream, reasonOf, upstreamClient } from './support.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const OTHER = '4bf92f3577b34da6a3ce929d0e0e4736';
const CALLER = `00-${TRACE}-b7ad6b7169203331-01`;
const OWN = `00-${TRACE}-00f067aa0ba902b7-01`;
const UNSAMPLED = `00-${TRACE}-00f067aa0ba902b7-00`;
const GUEST = `00-${OTHER}-00f067aa0ba902b7-01`;

const fieldsOf = (headers: FlatHeaders, name: string): string[] =>
  headers.filter((_, at) => at % 2 === 1 && headers[at - 1] === name);

interface Told {
  readonly parent: string | undefined;
  readonly state: string[];
  readonly headers: FlatHeaders;
  readonly spanId: string;
}

function told(trace: string | null, incoming: FlatHeaders, given: FlatHeaders = []): Told {
  const outgoing = new OutgoingTrace({ trace, headers: incoming }, null);
  const { headers, spanId } = outgoing.hop(given);
  const parents = fieldsOf(headers, 'traceparent');
  t.ok(parents.length <= 1, 'one traceparent at most');
  return { parent: parents[0], state: fieldsOf(headers, 'tracestate'), headers, spanId };
}

t.test('where nothing is exported, what came in is passed on as it came', async (t) => {
  const incoming = ['traceparent', CALLER, 'tracestate', 'a=1', 'tracestate', 'b=2'];
  t.match(told(null, incoming), { parent: CALLER, state: ['a=1,b=2'], spanId: '' });
  t.strictSame(told(null, [], ['accept', '*/*']).headers, ['accept', '*/*']);
  t.strictSame(told(null, ['traceparent', 'nonsense', 'tracestate', 'a=1']).headers, []);
  const later = `cc-${TRACE}-b7ad6b7169203331-01-later`;
  t.equal(told(null, ['traceparent', later]).parent, later);
  const given = ['traceparent', GUEST, 'tracestate', 'x=1'];
  t.strictSame(told(null, incoming, given).headers, given, "a guest's own stays");
});

t.test('a sampled request gives each hop a span of its own', async (t) => {
  const incoming = ['traceparent', CALLER, 'tracestate', 'a=1'];
  const first = told(OWN, incoming, ['x-a', '1']);
  t.strictSame(first.headers.slice(0, 2), ['x-a', '1']);
  t.match(parseTraceparent(first.parent ?? ''), { traceId: TRACE, sampled: true });
  t.equal(parseTraceparent(first.parent ?? '')?.spanId, first.spanId);
  t.strictSame(first.state, ['a=1']);
  t.not(told(OWN, incoming).spanId, first.spanId);
  t.strictSame(told(OWN, []).state, []);
});

t.test('one that is not sampled passes its own span on', async (t) => {
  const { parent, spanId } = told(UNSAMPLED, ['traceparent', CALLER]);
  t.equal(parent, UNSAMPLED);
  t.equal(spanId, '00f067aa0ba902b7');
});

t.test('a guest that passes on what came in has our span put between', async (t) => {
  const incoming = ['traceparent', CALLER, 'tracestate', 'a=1'];
  const passed = told(OWN, incoming, ['traceparent', CALLER, 'x-a', '1', 'tracestate', 'a=1']);
  t.equal(parseTraceparent(passed.parent ?? '')?.spanId, passed.spanId);
  t.strictSame(passed.headers.slice(0, 2), ['x-a', '1']);
  const given = ['traceparent', GUEST, 'tracestate', 'x=1'];
  t.strictSame(told(OWN, incoming, given).headers, given, 'a trace of its own stays');
  const malformed = ['traceparent', 'what it likes'];
  t.strictSame(told(OWN, incoming, malformed).headers, malformed, 'and whatever it means');
  // The daemon began a trace although the caller named one: the guest knows only the caller's.
  const begun = told(GUEST, incoming, ['traceparent', CALLER, 'tracestate', 'a=1']);
  t.equal(parseTraceparent(begun.parent ?? '')?.traceId, OTHER);
  t.strictSame(begun.state, [], "the caller's state is of another trace");
});

t.test('spans are kept of sampled requests alone, and so many at most', async (t) => {
  t.equal(openSpans({}), null);
  t.equal(openSpans({ trace: null }), null);
  t.equal(openSpans({ trace: UNSAMPLED }), null);
  const list = openSpans({ trace: OWN });
  for (let count = 0; count < TRACE_SPANS_MAX + 5; count += 1) {
    list?.add({ kind: 'wait', name: 'x', startAt: 0, endAt: 0 });
  }
  t.equal(list?.spans.length, TRACE_SPANS_MAX);
  t.equal(list?.dropped, 5);
});

function scopeFor(trace: string | null, headers: FlatHeaders) {
  const spans = trace === null ? null : new SpanList();
  const traced = { request: { trace, headers }, spans };
  return { spans, scope: new SubrequestScope(1, LIMITS, new HeldBytes(), traced) };
}

t.test('every hop of a redirect is told, and is a span with its outcome', async (t) => {
  const seen: [string, string][] = [];
  const upstream = await httpUpstream(t, (request, response) => {
    seen.push([request.url ?? '', String(request.headers['traceparent'])]);
    if (request.url?.startsWith('/from') === true) {
      response.writeHead(302, { location: '/to?secret=2' }).end();
    } else response.writeHead(404).end('not here');
  });
  const client = upstreamClient(t);
  const { scope, spans } = scopeFor(OWN, ['traceparent', CALLER]);
  await client.fetchUpstream(get(`${upstream.url}/from?secret=1`), scope);
  const ids = seen.map(([, parent]) => parseTraceparent(parent)?.spanId);
  t.equal(new Set(ids).size, 2);
  t.ok(seen.every(([, parent]) => parent.startsWith(`00-${TRACE}-`)));
  t.match(spans?.spans, [
    { kind: 'http', method: 'GET', url: `${upstream.url}/from`, status: 302, spanId: ids[0] },
    { kind: 'http', method: 'GET', url: `${upstream.url}/to`, status: 404, spanId: ids[1],
      error: '' },
  ]);
  t.notMatch(JSON.stringify(spans), 'secret');
  for (const { startAt, endAt } of spans?.spans ?? []) t.ok(endAt >= startAt);
  t.ok(scope.endedMs > 0, 'and its time is counted');
  t.equal(scope.failures, 0);
});

t.test('what fails is a span with its reason, and is counted', async (t) => {
  const client = upstreamClient(t);
  const cut = await rawUpstream(t, (socket) => socket.destroy());
  const { scope, spans } = scopeFor(OWN, []);
  const reason = await reasonOf(client.fetchUpstream(get(`${cut.url}/`), scope));
  t.match(spans?.spans, [{ kind: 'http', status: 0, error: reason }]);
  t.equal(scope.failures, 1);
  const silent = await rawUpstream(t, () => {});
  const given = scopeFor(OWN, []);
  const pending = reasonOf(client.fetchUpstream(get(`${silent.url}/`), given.scope));
  await new Promise((done) => { setTimeout(done, 50); });
  given.scope.abort();
  t.equal(await pending, 'aborted');
  t.match(given.spans?.spans, [{ error: 'aborted' }]);
  t.equal(given.scope.failures, 0, "the guest's own end is no failure of the upstream");
  t.ok(given.scope.endedMs >= 40, 'the time until then counts');
});
