/**
 * The control plane's commands, each applied inside a savepoint of the writer's transaction: it is
 * done as a whole or not at all, whatever else the commit holds.
 */

import { WardianError } from '../../contract/errors.ts';
import { HOSTS_PER_APP_MAX } from '../../contract/limits.ts';
import type {
  Changed, CommandOf, ControlCommand, ControlOp, ControlResults,
} from './commands.ts';
import { changed, newGeneration } from './context.ts';
import type { ControlContext } from './context.ts';
import { activate, changeApp, noteServing, replaceArtifact, saveDeploy } from './deploys.ts';
import { deleteSecret, putSecret, resealSecrets, setEnv } from './environment.ts';
import { assertHost, assertSettings, assertTime } from './names.ts';
import { bindNamespace, createNamespace, deleteNamespace } from './namespaces.ts';
import { collectGarbage, deleteApp, expireApps } from './removal.ts';
import {
  changeTenant, createTenant, createToken, deleteTenant, ensureTenant, noteTokenUse, revokeToken,
} from './tenants.ts';

const SHARES_MAX = 10;

function setActiveVersion(
  context: ControlContext, { appId, versionId }: CommandOf<'set_active_version'>,
): Changed {
  const { database, nowMs } = context;
  changed(context, appId);
  const version = database.prepare('SELECT id FROM version WHERE id = ? AND app_id = ?')
    .get(versionId, appId);
  if (version === undefined) throw new WardianError('not_found', 'the app has no such version');
  activate(database, appId, versionId, nowMs);
  newGeneration(database, appId);
  return changed(context, appId);
}

/** The version with the largest share is the active one: what serves where shares are unknown. */
function setSplit(context: ControlContext, command: CommandOf<'set_split'>): Changed {
  const { appId, shares, settings } = command;
  const { database } = context;
  const fits = shares.length >= 1 && shares.length <= SHARES_MAX
    && shares.every(({ weight }) => Number.isSafeInteger(weight) && weight >= 1);
  if (!fits || shares.reduce((sum, { weight }) => sum + weight, 0) !== 100) {
    throw new WardianError(
      'bad_argument', `1 to ${SHARES_MAX} shares of at least 1 per cent add up to 100`);
  }
  if (new Set(shares.map(({ versionId }) => versionId)).size !== shares.length) {
    throw new WardianError('bad_argument', 'a version has one share');
  }
  if (settings !== undefined) {
    assertSettings(settings);
    changeApp(database, appId, { settings });
  }
  const [largest] = shares.toSorted((a, b) => b.weight - a.weight);
  setActiveVersion(context, {
    op: 'set_active_version', appId, versionId: largest?.versionId ?? 0,
  });
  if (shares.length === 1) return changed(context, appId);
  const insert = database.prepare(`
    INSERT INTO split (app_id, version_id, weight)
    SELECT app_id, id, ? FROM version WHERE id = ? AND app_id = ?`);
  for (const { versionId, weight } of shares) {
    if (insert.run(weight, versionId, appId).changes === 0) {
      throw new WardianError('not_found', 'the app has no such version');
    }
    noteServing(database, versionId, context.nowMs);
  }
  return changed(context, appId);
}

function addHost(context: ControlContext, { appId, host }: CommandOf<'add_host'>): Changed {
  const { database } = context;
  assertHost(host);
  const { customHosts } = changed(context, appId);
  if (customHosts.includes(host)) return changed(context, appId);
  if (customHosts.length >= HOSTS_PER_APP_MAX) {
    throw new WardianError('quota_exceeded', `an app has at most ${HOSTS_PER_APP_MAX} hosts`);
  }
  const { changes } = database.prepare(
    'INSERT INTO host (host, app_id) VALUES (?, ?) ON CONFLICT DO NOTHING').run(host, appId);
  if (changes === 0) throw new WardianError('conflict', `the host ${host} is taken`);
  newGeneration(database, appId);
  return changed(context, appId);
}

function removeHost(context: ControlContext, { appId, host }: CommandOf<'remove_host'>): Changed {
  const { database } = context;
  changed(context, appId);
  const { changes } = database.prepare('DELETE FROM host WHERE host = ? AND app_id = ?')
    .run(host, appId);
  if (changes === 0) throw new WardianError('not_found', 'the app has no such host');
  newGeneration(database, appId);
  return changed(context, appId);
}

type ControlTable = {
  readonly [Op in ControlOp]: (
    context: ControlContext, command: CommandOf<Op>,
  ) => ControlResults[Op];
};

const CONTROL: ControlTable = {
  ensure_tenant: ensureTenant,
  create_tenant: createTenant,
  change_tenant: changeTenant,
  delete_tenant: deleteTenant,
  create_token: createToken,
  revoke_token: revokeToken,
  use_token: noteTokenUse,
  save_deploy: (context, { deploy }) => saveDeploy(context, deploy),
  change_app(context, command) {
    assertSettings(command.settings ?? {});
    if (command.expiresAtMs !== undefined) assertTime(command.expiresAtMs);
    changeApp(context.database, command.appId, command);
    return changed(context, command.appId);
  },
  set_active_version: setActiveVersion,
  set_split: setSplit,
  delete_app: deleteApp,
  add_host: addHost,
  remove_host: removeHost,
  create_namespace: createNamespace,
  delete_namespace: deleteNamespace,
  bind_namespace: bindNamespace,
  set_env: setEnv,
  put_secret: putSecret,
  delete_secret: deleteSecret,
  reseal_secrets: resealSecrets,
  expire_apps: expireApps,
  replace_artifact: replaceArtifact,
  collect_garbage: collectGarbage,
};

/** Inside a savepoint. Throws WardianError when refused. */
export function applyControl(context: ControlContext, command: ControlCommand): unknown {
  const apply = CONTROL[command.op] as (c: ControlContext, command: ControlCommand) => unknown;
  return apply(context, command);
}
