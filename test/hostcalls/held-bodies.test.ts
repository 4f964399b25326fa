/** Bodies of requests that guests build or send are bounded for their tenant on a thread. */

import t from 'tap';
import { UPSTREAM_HELD_BYTES_PER_TENANT_MAX } from '../../contract/limits.ts';
import { UpstreamError, type UpstreamResponse } from '../../hostcalls/services/index.ts';
import { HeldBytes } from '../../hostcalls/services/held-bytes.ts';
import { SubrequestScope } from '../../hostcalls/services/scope.ts';
import { OWNER, run, testServices, type Step } from './guest.ts';

const ROOM = 1_000;
const DATA = { 128: 'PUT', 136: 'http://a.example/' };
const CREATE: Step = ['hostcall_req_create', 128, 3, 136, 17];
const body = (request: number, length: number): Step =>
  ['hostcall_req_set_body', request, 512, length];

/** Others of the tenant hold all but `ROOM` bytes. */
function crowded(): HeldBytes {
  const held = new HeldBytes();
  held.add(OWNER.tenantId, UPSTREAM_HELD_BYTES_PER_TENANT_MAX - ROOM);
  return held;
}

t.test('bodies count together; one that is replaced is given back, all at the end', async (t) => {
  const held = crowded();
  const others = held.of(OWNER.tenantId);
  const steps = [
    CREATE, CREATE, body(1, 600), body(2, 600), body(1, 300), body(2, 600), body(2, 701),
  ];
  const ran = await run(t, {
    steps, data: DATA,
    services: { openSubrequests: (tenant, limits) => new SubrequestScope(tenant, limits, held) },
    during: () => { t.equal(held.of(OWNER.tenantId), others + 900); },
  });
  t.equal(ran.failure, null);
  t.same(steps.map((_, step) => ran.globals[`r${step}`]), [1, 2, 0, 1, 0, 0, 1]);
  t.equal(ran.logs[0]?.text, 'hostcall_req_set_body: too many bytes of bodies are held');
  t.equal(held.of(OWNER.tenantId), others);
});

t.test('a body that was sent is given back when the exchange is over, well or not', async (t) => {
  const held = crowded();
  const during: number[] = [];
  const response: UpstreamResponse = {
    status: 200, headers: [], url: 'http://a.example/', body: new Uint8Array(),
  };
  const { http } = testServices(t, []);
  const ran = await run(t, {
    steps: [
      CREATE, body(1, 800), ['hostcall_req_send', 1],
      CREATE, body(3, 800), ['hostcall_req_send', 3], CREATE, body(4, ROOM),
    ],
    data: DATA,
    services: {
      openSubrequests: (tenant, limits) => new SubrequestScope(tenant, limits, held),
      http: {
        isMethod: (method) => http.isMethod(method),
        isUrl: (url) => http.isUrl(url),
        open: () => Promise.reject(new UpstreamError('connect', 'not asked')),
        async fetchUpstream() {
          during.push(held.of(OWNER.tenantId));
          if (during.length === 1) return response;
          throw new UpstreamError('connect', 'nobody there');
        },
      },
    },
  });
  t.equal(ran.failure, null);
  t.same([2, 5, 7].map((step) => ran.globals[`r${step}`]), [2, -1, 0]);
  t.same(during, [200, 200].map((left) => UPSTREAM_HELD_BYTES_PER_TENANT_MAX - left));
  t.equal(held.of(OWNER.tenantId), UPSTREAM_HELD_BYTES_PER_TENANT_MAX - ROOM);
});
