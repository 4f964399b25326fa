/**
 * Numbers of hostcalls, for what the rewriter puts behind one import (`pool/rewrite/gate.ts`): all
 * that take a few i32, answer an i32 or nothing, and never wait. Rewritten modules are stored with
 * them: whoever adds a hostcall adds its name at the end, and no entry ever changes its place or
 * its meaning. A module that was rewritten with fewer numbers goes on working with more.
 */

const LISTS: readonly (readonly [string, string])[] = [
  ['env', `
    hostcall_init_mm hostcall_panic_hook hostcall_debug hostcall_req_get_method
    hostcall_req_get_path hostcall_req_get_headers hostcall_req_get_header hostcall_req_get_body
    hostcall_req_create hostcall_req_set_header hostcall_req_set_body hostcall_req_send_async
    hostcall_resp_get_response_code hostcall_resp_get_headers hostcall_resp_get_header
    hostcall_resp_get_body hostcall_resp_set_response_code hostcall_resp_set_header
    hostcall_resp_set_body hostcall_kvstore_get hostcall_env_get hostcall_secret_get
    hostcall_kv_open hostcall_kv_get hostcall_resp_set_body_from hostcall_req_set_body_from
    abort console.log console.debug console.info console.warn console.error`],
  ['wasi_snapshot_preview1', `
    args_sizes_get args_get environ_sizes_get environ_get clock_res_get random_get proc_exit
    proc_raise fd_write fd_read fd_close fd_renumber fd_fdstat_get fd_fdstat_set_flags
    fd_filestat_get fd_tell fd_datasync fd_prestat_dir_name fd_prestat_get fd_sync
    path_create_directory path_filestat_get path_readlink path_remove_directory path_rename
    path_symlink path_unlink_file sock_accept sock_recv sock_send sock_shutdown`],
];

/** Module and name, by number. */
export const NUMBERED_HOSTCALLS: readonly (readonly [string, string])[] = LISTS.flatMap(
  ([module, names]) => names.trim().split(/\s+/).map((name) => [module, name] as const));

/** Number by module and name. */
export const HOSTCALL_NUMBERS: ReadonlyMap<string, ReadonlyMap<string, number>> = byModule();

function byModule(): Map<string, Map<string, number>> {
  const numbers = new Map<string, Map<string, number>>();
  for (const [number, [module, name]] of NUMBERED_HOSTCALLS.entries()) {
    const own = numbers.get(module) ?? new Map<string, number>();
    numbers.set(module, own.set(name, number));
  }
  return numbers;
}
