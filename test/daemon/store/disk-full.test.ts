/**
 * A disk that fills up: a small tmpfs in a mount namespace, with the watermark and without. Nothing
 * acknowledged is lost, the thread lives on, and with the watermark deletes make room again.
 */

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';

import type { WardianError } from '../../../contract/errors.ts';
import { openStore } from '../../../daemon/store/store.ts';
import { FACTS, bytes, deployOf } from './support.ts';
import type { DiskFullReport } from './fixtures/disk-full-child.ts';

const CHILD = fileURLToPath(new URL('./fixtures/disk-full-child.ts', import.meta.url));
const MIB = 1024 * 1024;

const NAMESPACES = spawnSync('unshare', ['-rm', 'true']).status === 0
  ? {} : { skip: 'mount namespaces are not allowed here' };

function fill(dataFolder: string, diskBytes: number, freeBytesMin: number): DiskFullReport {
  const { stdout, stderr } = spawnSync('unshare', [
    '-rm', 'sh', '-c', `mount -t tmpfs -o size=${diskBytes} none "${dataFolder}" && exec "$0" "$@"`,
    process.execPath, CHILD, dataFolder, `${freeBytesMin}`,
  ], { encoding: 'utf8', timeout: 60_000 });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as DiskFullReport;
}

t.test('with a watermark, writes stop before the disk is full', NAMESPACES, async (t) => {
  const report = fill(t.testdir(), 48 * MIB, 16 * MIB);
  t.comment(JSON.stringify(report));
  t.match(report, {
    refusal: 'disk_full',
    smallPut: 'disk_full',
    deploy: 'disk_full',
    firstDelete: 'present',
    putAfterDeletes: 'absent',
    integrity: 'ok',
  });
  t.ok(report.stored > 30, `${report.stored} values fitted`);
  t.equal(report.found, report.stored, 'all of them can be read');
});

t.test('without one, a full disk is an error and no loss', NAMESPACES, async (t) => {
  const report = fill(t.testdir(), 16 * MIB, 0);
  t.comment(JSON.stringify(report));
  t.match(report, { refusal: 'disk_full', deploy: 'disk_full', integrity: 'ok' });
  t.ok(report.stored > 10, `${report.stored} values fitted`);
  t.equal(report.found, report.stored, 'all of them can be read');
});

/** The codes of what is refused; null for what is done. */
async function codeOf(done: Promise<unknown>): Promise<string | null> {
  try {
    await done;
    return null;
  } catch (error) {
    return (error as WardianError).code;
  }
}

t.test('below the watermark only what frees, or changes what is there, is done', async (t) => {
  const dataFolder = t.testdir();
  const key = new Uint8Array(32).fill(3);
  const roomy = await openStore({ dataFolder, secretKeys: [key] });
  const { id: tenantId } = await roomy.ensureTenant('acme');
  const first = await roomy.saveDeploy(deployOf(tenantId, 'shop', 'one'));
  const second = await roomy.saveDeploy(deployOf(tenantId, 'shop', 'two'));
  const { id: spaceId } = await roomy.namespaces.create(tenantId, 'space');
  const appId = first.app.id;
  await roomy.namespaces.bind(appId, 'SPACE', spaceId);
  await roomy.environment.setEnv(appId, { COLOR: 'green' });
  await roomy.environment.putSecret(appId, 'KEY', bytes('value'));
  await roomy.addHost(appId, 'shop.example');
  const token = { tenantId, name: 'ci', scope: 'read', expiresAtMs: null } as const;
  const { token: made } = await roomy.tenants.createToken(token);
  await roomy.close();

  const store = await openStore({
    dataFolder, secretKeys: [new Uint8Array(32).fill(4), key],
    freeBytesMin: Number.MAX_SAFE_INTEGER,
  });
  t.teardown(() => store.close());
  const { artifact } = deployOf(tenantId, 'shop', 'three');
  const grows: Record<string, () => Promise<unknown>> = {
    deploy: () => store.saveDeploy(deployOf(tenantId, 'shop', 'three')),
    artifact: () => store.replaceArtifact({
      hash: second.version.artifactHash, moduleHash: second.version.moduleHash,
      rewriteKey: 'rewriter 2', artifact: artifact ?? { bytes: bytes(''), facts: FACTS },
    }),
    tenant: () => store.tenants.create('rival'),
    token: () => store.tenants.createToken(token),
    use: () => store.tenants.noteUse(made),
    namespace: () => store.namespaces.create(tenantId, 'more'),
    bind: () => store.namespaces.bind(appId, 'MORE', spaceId),
    host: () => store.addHost(appId, 'more.example'),
    env: () => store.environment.setEnv(appId, { SIZE: 'large' }),
    secret: () => store.environment.putSecret(appId, 'OTHER', bytes('value')),
    rotate: () => store.environment.rotate(),
  };
  for (const [name, command] of Object.entries(grows)) {
    t.equal(await codeOf(command()), 'disk_full', name);
  }
  const goesOn: Record<string, () => Promise<unknown>> = {
    ensure: () => store.ensureTenant('local'),
    rollback: () => store.setActiveVersion(appId, first.version.id),
    settings: () => store.changeApp(appId, { settings: { debug: true } }),
    split: () => store.setSplit(appId, [
      { versionId: first.version.id, weight: 50 }, { versionId: second.version.id, weight: 50 },
    ]),
    suspend: () => store.tenants.change(tenantId, { suspended: true }),
    unset: () => store.environment.setEnv(appId, { COLOR: null }),
    unbind: () => store.namespaces.unbind(appId, 'SPACE'),
    secret: () => store.environment.deleteSecret(appId, 'KEY'),
    host: () => store.removeHost(appId, 'shop.example'),
    namespace: () => store.namespaces.delete(spaceId),
    token: () => store.tenants.revokeToken(made.id),
    garbage: () => store.garbageCollect(1),
    expire: () => store.expireApps(Date.now()),
    app: () => store.deleteApp(appId),
    tenant: () => store.tenants.delete(tenantId),
  };
  for (const [name, command] of Object.entries(goesOn)) {
    t.equal(await codeOf(command()), null, name);
  }
});
