/** A deploy from files to a route, and everything that refuses it. */

import t from 'tap';

import {
  MODULE_BYTES_MAX, REQUEST_LIMITS_DEFAULT, UPLOADS_HELD_BYTES_MAX, UPLOADS_HELD_TENANT_BYTES_MAX,
  UPLOAD_BYTES_MAX,
} from '../../../contract/limits.ts';
import { rebuildOutdated } from '../../../daemon/deploy/outdated.ts';
import { rewriteKeyOf } from '../../../daemon/deploy/rewrite-key.ts';
import { assemble, createParts, guest, outcomeOf, text, toolsOf, wasm } from './parts.ts';

t.test('a module goes through every stage and is served', async (t) => {
  const parts = await createParts();
  t.teardown(() => parts.close());
  const first = await outcomeOf(parts, 'hello', wasm(await guest(1)));
  t.same(first, {
    stages: ['uploaded', 'building', 'compiling', 'deploying', 'done'],
    url: 'http://hello.localhost:8080/', number: 1,
  });
  t.equal(parts.router.find('hello.localhost')?.versionNumber, 1);

  const again = await outcomeOf(parts, 'hello-two', wasm(await guest(1)));
  t.same(again.stages, ['uploaded', 'deploying', 'done'], 'a known module is not built again');
  t.equal(again.number, 1);

  const changed = await outcomeOf(parts, 'hello', wasm(await guest(2)));
  t.equal(changed.number, 2);
  t.equal(parts.router.find('hello.localhost')?.versionNumber, 2);
});

t.test('a failed deploy leaves the version before it serving', async (t) => {
  const parts = await createParts();
  t.teardown(() => parts.close());
  await outcomeOf(parts, 'kept', wasm(await guest(1)));
  const failed = await outcomeOf(parts, 'kept', wasm(text('no module')));
  t.equal(failed.code, 'not_wasm');
  t.equal(parts.router.find('kept.localhost')?.versionNumber, 1);
  t.equal(parts.store.listVersions(parts.store.getApp('kept')?.id ?? 0).length, 1);
});

t.test('refusals of modules, each with its code and words', async (t) => {
  const parts = await createParts({ builders: { idleMs: 60_000 } });
  t.teardown(() => parts.close());
  const refused = async (files: Parameters<typeof outcomeOf>[2], language = 'auto') => {
    const { code, message, output } = await outcomeOf(parts, 'refused', files, language);
    return { code, message, output };
  };

  t.match(await refused(wasm(text('<html>'))), { code: 'not_wasm', message: /\\0asm/ });
  t.match(await refused(wasm(new Uint8Array())), { code: 'not_wasm' });
  const large = new Uint8Array(MODULE_BYTES_MAX + 1);
  large.set([0, 0x61, 0x73, 0x6d]);
  t.match(await refused(wasm(large)), {
    code: 'module_too_large', message: `${large.length} bytes, the limit is ${MODULE_BYTES_MAX}`,
  });
  t.match(await refused(wasm(await assemble('(module)'))), {
    code: 'missing_export', message: /there is no export "run"/,
  });
  t.match(await refused(wasm(await assemble('(module (func (export "run") (param i32)))'))), {
    code: 'missing_export', message: /"run"/,
  });
  const imports = await assemble(`(module (import "env" "nonsense" (func))
    (import "elsewhere" "more" (func)) (func (export "run")))`);
  t.match(await refused(wasm(imports)), {
    code: 'unknown_import', message: /"env" "nonsense".*"elsewhere" "more"/,
  });
  t.match(await refused(wasm(await assemble(
    '(module (memory i64 1) (func (export "run")))'))), { code: 'unsupported_feature' });
  t.match(await refused(wasm(await assemble(
    '(module (func (export "run")) (func (export "wardian:fuel")))'))), { code: 'reserved_name' });
  const cut = (await guest(1)).subarray(0, 20);
  t.match(await refused(wasm(cut)), { code: 'malformed_module', message: /offset/ });
  const illTyped = await assemble('(module (func (export "run") (drop (i32.const 1))))');
  illTyped[illTyped.length - 2] = 0x6a;
  t.match(await refused(wasm(illTyped)), { code: 'malformed_module' });

  t.match(await refused([{ path: 'a.wat', bytes: text('(module (func (export "run") (nop)') }]), {
    code: 'build_failed', output: /a\.wat:1:/,
  });
  t.match(await refused([{ path: 'a.wat', bytes: new Uint8Array([0xff, 0xfe]) }]), {
    code: 'build_failed', message: 'a.wat is not UTF-8 text',
  });
  t.match(await refused([{ path: 'notes.txt', bytes: text('hi') }]), {
    code: 'unknown_language', message: /\.c, \.rs, \.ts, \.wat, \.wasm/,
  });
  t.match(await refused(wasm(await guest(1)), 'cobol'), {
    code: 'unknown_language', message: /"cobol"/,
  });
  t.match(await refused([{ path: 'a.c', bytes: text('') }], 'wasm'), {
    code: 'bad_upload', message: 'the upload holds no .wasm file',
  });
  const two = [
    { path: 'a.wasm', bytes: await guest(1) }, { path: 'b.wasm', bytes: await guest(2) },
  ];
  t.match(await refused(two), { code: 'bad_upload', message: /2 \.wasm files/ });
  t.match(
    await outcomeOf(parts, 'chosen', [...two, { path: 'module.wasm', bytes: await guest(3) }]),
    { number: 1 }, 'module.wasm is the one among several');
});

t.test('refusals before anything is built', async (t) => {
  const parts = await createParts({ languages: new Set(['wat']) });
  t.teardown(() => parts.close());
  const files = wasm(await guest(1));
  for (const label of ['', 'Hello', '-a', 'a-', 'a--b', 'a.b', 'admin', 'x'.repeat(64)]) {
    t.match(await outcomeOf(parts, label, files), { code: 'bad_name', stages: [] }, label);
  }
  t.match(await outcomeOf(parts, 'off', [{ path: 'a.c', bytes: text('') }]), {
    code: 'unknown_language', message: /c is turned off/,
  });
  const other = await parts.store.ensureTenant('other');
  await outcomeOf(parts, 'taken', files);
  t.match(await outcomeOf({ ...parts, tenant: other }, 'taken', files), {
    code: 'conflict', message: 'the name taken is taken', stages: [],
  });
  t.match(await outcomeOf({ ...parts, tenant: { ...other, suspended: true } }, 'new', files), {
    code: 'tenant_suspended',
  });
  for (const options of [['-O9'], ['-Os', '-O2']]) {
    await t.rejects(parts.pipeline.deploy(
      { tenant: parts.tenant, label: 'options', language: 'auto', files, options }, () => {}),
    { code: 'bad_argument' });
  }
});

t.test('deploys of one app follow each other, the last one serves', async (t) => {
  const parts = await createParts();
  t.teardown(() => parts.close());
  const outcomes = await Promise.all([1, 2, 3, 4].map(async (number) =>
    outcomeOf(parts, 'busy', wasm(await guest(number)))));
  t.same(outcomes.map(({ number }) => number).toSorted(), [1, 2, 3, 4]);
  t.equal(parts.router.find('busy.localhost')?.versionNumber, 4);
});

t.test('uploads are bounded together', async (t) => {
  const parts = await createParts();
  t.teardown(() => parts.close());
  const { pipeline, tenant } = parts;
  const others = tenant.id + 1;
  const release = pipeline.hold(UPLOADS_HELD_TENANT_BYTES_MAX, others);
  t.throws(() => pipeline.hold(1, others), { code: 'tenant_overloaded' });
  pipeline.hold(UPLOAD_BYTES_MAX, tenant.id)();
  const rest = UPLOADS_HELD_BYTES_MAX - UPLOADS_HELD_TENANT_BYTES_MAX;
  const releaseRest = pipeline.hold(rest, others + 1);
  t.match(await outcomeOf(parts, 'late', wasm(await guest(1))), {
    code: 'overloaded', stages: [],
  });
  release();
  release();
  releaseRest();
  pipeline.hold(UPLOADS_HELD_TENANT_BYTES_MAX, others)();
  t.match(await outcomeOf(parts, 'late', wasm(await guest(1))), { number: 1 });
});

t.test('a stored build that is gone is built again', async (t) => {
  const parts = await createParts();
  t.teardown(() => parts.close());
  const { store } = parts;
  const { pipeline } = await createParts({
    store: {
      getApp: (label) => store.getApp(label),
      saveDeploy: (deploy) => store.saveDeploy(deploy),
      // As if collected right after this look.
      findArtifact: () => ({ hash: '', byteLength: 1, facts: {} as never }),
    },
  }).then(async (other) => {
    t.teardown(() => other.close());
    return other;
  });
  t.match(await outcomeOf({ ...parts, pipeline }, 'gone', wasm(await guest(1))), { number: 1 });
});

t.test('an aborted deploy changes nothing', async (t) => {
  const parts = await createParts();
  t.teardown(() => parts.close());
  const gone = new AbortController();
  const deploying = parts.pipeline.deploy({
    tenant: parts.tenant, label: 'gone', language: 'auto', files: wasm(await guest(1)),
    signal: gone.signal,
  }, () => gone.abort());
  await t.rejects(deploying, { code: 'client_closed' });
  t.equal(parts.store.getApp('gone'), null);
});

t.test('what an older rewriter has left is rewritten again', async (t) => {
  const parts = await createParts();
  t.teardown(() => parts.close());
  const { store, builders, router, tenant } = parts;
  const old = { rewriteKey: 'rewriter=0 costs=0 memory=65536', language: 'wasm' as const };
  const facts = {
    abi: 'terrarium', entry: 'run', memory: null, tableEntries: 0, hasStart: false,
    hasTable: false, listedEntries: 0, suspends: false, fuelAtInstantiation: 0,
  };
  const module = await guest(1);
  const saved = await store.saveDeploy({
    ...old, tenantId: tenant.id, label: 'old', module, artifact: { bytes: text('old'), facts },
  });
  const refused = await store.saveDeploy({
    ...old, tenantId: tenant.id, label: 'refused', module: await assemble('(module)'),
    artifact: { bytes: text('refused'), facts },
  });
  const told: string[] = [];
  const rebuild = () => rebuildOutdated({
    store, builders, tools: toolsOf(), limits: REQUEST_LIMITS_DEFAULT,
    onRoute: ({ route, customHosts }) => route !== null && router.set(route, customHosts),
    onRefused: (hash, { code }) => told.push(hash, code),
  });
  t.equal(await rebuild(), 1);
  t.same(told, [refused.version.moduleHash, 'missing_export']);
  const version = store.getVersion(saved.version.id);
  t.equal(version?.number, 1, 'the version is the same');
  t.not(version?.artifactHash, saved.version.artifactHash);
  t.equal(store.findArtifact(saved.version.moduleHash, rewriteKeyOf(65_536))?.hash,
    version?.artifactHash);
  t.equal(store.findArtifact(saved.version.moduleHash, old.rewriteKey), null);
  t.ok((router.find('old.localhost')?.generation ?? 0) > saved.app.generation,
    'workers load it anew');
  t.equal(store.getVersion(refused.version.id)?.artifactHash, refused.version.artifactHash);
  t.equal(await rebuild(), 0);
});
