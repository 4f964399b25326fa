/** What keeps a module from being served, in words; and what the pool must know of one that is. */

import t from 'tap';
import { createHost, inspectModule, type Inspection } from '../../hostcalls/index.ts';
import { HOSTCALLS } from '../../hostcalls/tables.ts';
import { rewrite } from '../../pool/rewrite/index.ts';
import { assemble, testServices } from './guest.ts';

function inspect(text: string): Inspection {
  const { imports, exports } = rewrite(assemble(text), { memoryBytesMax: 1 << 24 });
  return inspectModule(imports, exports);
}

const RUN = '(func (export "run"))';

const ROWS: readonly (readonly [name: string, text: string, violations: readonly string[]])[] = [
  ['a plain guest', RUN, []],
  ['both namespaces', `(import "env" "hostcall_debug" (func (param i32 i32)))
    (import "wasi_snapshot_preview1" "fd_tell" (func (param i32 i32) (result i32))) ${RUN}`, []],
  ['every unknown import', `(import "env" "hostcall_nope" (func)) (import "env" "x\\ty" (func))
    (import "other" "f" (func)) ${RUN}`, [
    '"env" "hostcall_nope" is not provided', '"env" "x\\ty" is not provided',
    '"other" "f" is not provided: there is no module "other", but "env", "wasi_snapshot_preview1"',
  ]],
  ['the wrong type', `(import "env" "hostcall_debug" (func (param i32) (result i64))) ${RUN}`,
    ['"env" "hostcall_debug" is imported as (i32) -> i64, but is (i32 i32) -> ()']],
  ['a memory', `(import "env" "memory" (memory 1)) ${RUN}`,
    ['the memory "env" "memory" is imported, but only functions are provided']],
  ['a global', `(import "env" "g" (global i32)) ${RUN}`,
    ['the global "env" "g" is imported, but only functions are provided']],
  ['a table', `(import "env" "t" (table 1 funcref)) ${RUN}`,
    ['the table "env" "t" is imported, but only functions are provided']],
  ['no run', '(func (export "main"))',
    ['there is no export "run", a function () -> () that serves a request']],
  ['a WASI command', '(func (export "_start"))', ['there is no export "run", a function '
    + '() -> () that serves a request; it is a WASI command (it exports "_start"), which is not '
    + 'served']],
  ['a run that is no function', '(global (export "run") i32 (i32.const 0))',
    ['the export "run" is a global, not a function () -> ()']],
  ['a run of another type', '(func (export "run") (param i32) (result i32) local.get 0)',
    ['the export "run" is (i32) -> i32, not () -> ()']],
  ['names of objects', `(import "env" "constructor" (func))
    (import "__proto__" "f" (func)) ${RUN}`, [
    '"env" "constructor" is not provided',
    '"__proto__" "f" is not provided: there is no module "__proto__", but "env", '
      + '"wasi_snapshot_preview1"',
  ]],
];

for (const [name, text, violations] of ROWS) {
  t.test(name, (t) => {
    const inspection = inspect(`(module ${text})`);
    t.same(inspection.violations.map((violation) => violation.message), violations);
    for (const { code, message } of inspection.violations) {
      t.equal(code, message.includes('export') ? 'missing_export' : 'unknown_import');
    }
    t.match(inspection, { abi: 'terrarium', entry: 'run', suspends: false });
    t.end();
  });
}

t.test('a module suspends if it imports a hostcall that can wait', (t) => {
  const waits = [...HOSTCALLS.values()].flatMap((module) => [...module.values()])
    .filter((called) => called.waits).map((called) => called.name);
  t.same(waits.toSorted(), [
    'hostcall_dns_query_ip', 'hostcall_dns_query_raw', 'hostcall_kv_append',
    'hostcall_kv_compare_and_delete', 'hostcall_kv_compare_and_set', 'hostcall_kv_delete',
    'hostcall_kv_increment', 'hostcall_kv_insert', 'hostcall_kv_put', 'hostcall_kvstore_append',
    'hostcall_kvstore_insert', 'hostcall_kvstore_remove', 'hostcall_kvstore_upsert',
    'hostcall_pending_req_poll', 'hostcall_pending_req_select', 'hostcall_pending_req_wait',
    'hostcall_req_body_read', 'hostcall_req_send', 'hostcall_req_send_head',
    'hostcall_resp_body_read', 'poll_oneoff', 'sched_yield',
  ]);
  t.equal(inspect(`(module
    (import "env" "hostcall_req_send" (func (param i32) (result i32))) ${RUN})`).suspends, true);
  t.end();
});

t.test('a module gets large bodies in pieces if it can read the request\'s so', (t) => {
  const importing = (name: string, types: string): boolean =>
    inspect(`(module (import "env" "${name}" (func ${types})) ${RUN})`).streamsBody;
  t.equal(importing('hostcall_req_body_read', '(param i32 i32 i32) (result i32)'), true);
  t.equal(importing('hostcall_req_set_body_from', '(param i32 i32) (result i32)'), true);
  t.equal(importing('hostcall_resp_body_read', '(param i32 i32 i32) (result i32)'), false);
  t.equal(importing('hostcall_resp_set_body_from', '(param i32 i32) (result i32)'), false);
  t.equal(importing('hostcall_req_get_body', '(param i32 i32 i32)'), false);
  t.end();
});

t.test('what is provided is what is inspected, and only waiting hostcalls are Suspending', (t) => {
  const onInternalError = (error: unknown): void => void t.fail(String(error));
  const host = createHost({ services: testServices(t, []), onInternalError });
  for (const [module, hostcalls] of HOSTCALLS) {
    t.same(Object.keys(host.imports[module]!).toSorted(), [...hostcalls.keys()].toSorted());
    for (const [name, called] of hostcalls) {
      const provided = host.imports[module]![name];
      t.equal(provided instanceof WebAssembly.Suspending, called.waits, name);
      t.equal(typeof provided === 'function', !called.waits, name);
    }
  }
  t.end();
});
