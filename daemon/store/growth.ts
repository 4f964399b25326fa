/**
 * By how much a command of the control plane makes the database grow: what the watermark of free
 * space refuses, and what fills a commit. What removes, and what only changes rows that are there,
 * goes on while the disk is nearly full: a rollback or a suspension may be what is needed then.
 */

import type { CommandOf, ControlCommand, ControlOp } from './commands.ts';

/** Of a row and its places in indexes. */
const ROW_BYTES = 512;

type Growth<Op extends ControlOp> = (command: CommandOf<Op>) => number | null;

/** Null: never refused for want of space. */
const nothing = (): null => null;
const oneRow = (): number => ROW_BYTES;

const GROWTH: { readonly [Op in ControlOp]: Growth<Op> } = {
  // Those of the node itself: it must start on a full disk.
  ensure_tenant: nothing,
  create_tenant: oneRow,
  change_tenant: nothing,
  delete_tenant: nothing,
  create_token: oneRow,
  revoke_token: nothing,
  // A time of last use is worth less than the space.
  use_token: oneRow,
  save_deploy: ({ deploy: { module, artifact } }) =>
    ROW_BYTES + module.byteLength + (artifact?.bytes.byteLength ?? 0),
  replace_artifact: ({ artifact }) => ROW_BYTES + artifact.bytes.byteLength,
  change_app: nothing,
  set_active_version: nothing,
  set_split: nothing,
  delete_app: nothing,
  add_host: oneRow,
  remove_host: nothing,
  create_namespace: oneRow,
  delete_namespace: nothing,
  bind_namespace: ({ namespaceId }) => (namespaceId === null ? null : ROW_BYTES),
  set_env({ values }) {
    const set = Object.entries(values).filter(([, value]) => value !== null);
    if (set.length === 0) return null;
    return set.reduce(
      (sum, [name, value]) => sum + ROW_BYTES + name.length + String(value).length, 0);
  },
  put_secret: ({ secret }) => ROW_BYTES + secret.sealed.byteLength,
  delete_secret: nothing,
  reseal_secrets: ({ secrets }) =>
    secrets.reduce((sum, { sealed }) => sum + sealed.byteLength, 0),
  expire_apps: nothing,
  collect_garbage: nothing,
};

/** Bytes, or null when the command is carried out whatever space is left. */
export function growthOf(command: ControlCommand): number | null {
  const growth = GROWTH[command.op] as (command: ControlCommand) => number | null;
  return growth(command);
}
