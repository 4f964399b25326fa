/**
 * What each hostcall is tried with in the isolation test, and what must come of it. `forged` stands
 * for each of another guest's handles and ids in turn.
 */

import { TERRARIUM_MODULE } from '../../hostcalls/terrarium/index.ts';
import { AT } from './isolation-guests.ts';
import type { Argument } from './isolation-guests.ts';

export interface Sample {
  readonly args: readonly Argument[];
  /**
   * The result that refuses; `ended`: the guest is; `own`: it works, on what is the caller's own,
   * and must only show nothing of others.
   */
  readonly is: number | 'ended' | 'own';
  /** Of the forged numbers: smaller ones name what the caller has itself. */
  readonly least?: number;
}

export const nameOf = (module: string, name: string): string =>
  module === TERRARIUM_MODULE ? name : `wasi ${name}`;

/** Whether it is tried with each forged number: as an argument, or in the list of handles. */
export const isForged = ({ args }: Sample): boolean =>
  args.includes('forged') || args.includes(AT.handles);

const own = (...args: Argument[]): Sample => ({ args, is: 'own' });
const ended = (...args: Argument[]): Sample => ({ args, is: 'ended' });
const refused = (is: number, ...args: Argument[]): Sample => ({ args, is });

const KEY = [AT.key, 8] as const;
const TEXT = [AT.text, 6] as const;
const OUT = [0, 4] as const;
/** What the forged number is taken for: the store, the request, the response. */
const F = 'forged';
const KV_INVALID = -1;
const INVALID = 1;
const NO_HANDLE = -1;

const REQUESTS: Readonly<Record<string, readonly Sample[]>> = {
  hostcall_req_get_method: [ended(...OUT, F), own(...OUT, 0)],
  hostcall_req_get_path: [ended(...OUT, F), own(...OUT, 0)],
  hostcall_req_get_headers: [ended(...OUT, F), own(...OUT, 0)],
  hostcall_req_get_header: [ended(...OUT, F, AT.header, 8), own(...OUT, 0, AT.header, 8)],
  hostcall_req_get_body: [ended(...OUT, F), own(...OUT, 0)],
  hostcall_req_create: [own(AT.method, 3, AT.url, 20)],
  hostcall_req_set_header: [refused(INVALID, F, AT.header, 8, AT.slice, 1)],
  hostcall_req_set_body: [refused(INVALID, F, ...TEXT)],
  hostcall_req_send: [refused(NO_HANDLE, F)],
  hostcall_req_send_async: [refused(NO_HANDLE, F)],
  hostcall_req_send_head: [refused(NO_HANDLE, F)],
  hostcall_req_body_read: [refused(NO_HANDLE, F, ...OUT), own(0, 0, 0)],
  hostcall_resp_body_read: [refused(NO_HANDLE, F, ...OUT)],
  hostcall_resp_set_body_from: [refused(INVALID, 0, F)],
  hostcall_req_set_body_from: [refused(INVALID, F, 0)],
  hostcall_pending_req_poll: [refused(NO_HANDLE, F)],
  hostcall_pending_req_wait: [refused(NO_HANDLE, F)],
  hostcall_pending_req_select: [refused(NO_HANDLE, AT.handles, 1, 8)],
  hostcall_resp_get_response_code: [ended(F), own(0)],
  hostcall_resp_get_headers: [ended(...OUT, F), own(...OUT, 0)],
  hostcall_resp_get_header: [ended(...OUT, F, AT.header, 8), own(...OUT, 0, AT.header, 8)],
  hostcall_resp_get_body: [ended(...OUT, F), own(...OUT, 0)],
  hostcall_resp_set_response_code: [refused(INVALID, F, 299)],
  hostcall_resp_set_header: [refused(INVALID, F, AT.header, 8, AT.slice, 1)],
  hostcall_resp_set_body: [refused(INVALID, F, ...TEXT)],
};

const STORES: Readonly<Record<string, readonly Sample[]>> = {
  hostcall_kvstore_insert: [own(...KEY, ...TEXT)],
  hostcall_kvstore_upsert: [own(...KEY, ...TEXT)],
  hostcall_kvstore_append: [own(...KEY, ...TEXT)],
  // Each attack is an app of its own, with an empty store.
  hostcall_kvstore_get: [refused(0, ...OUT, ...KEY)],
  hostcall_kvstore_remove: [own(...KEY)],
  hostcall_env_get: [refused(0, ...OUT, AT.variable, 5), refused(0, ...OUT, AT.secret, 8)],
  hostcall_secret_get: [refused(0, ...OUT, AT.secret, 8), refused(0, ...OUT, AT.variable, 5)],
  hostcall_kv_open: [
    refused(KV_INVALID, AT.binding, 3), refused(KV_INVALID, AT.path, 13),
    refused(KV_INVALID, AT.binding, 4), refused(KV_INVALID, AT.binding, 0),
  ],
  hostcall_kv_get: [refused(KV_INVALID, ...OUT, 8, F, ...KEY), refused(0, ...OUT, 8, 0, ...KEY)],
  hostcall_kv_put: [refused(KV_INVALID, 8, F, ...KEY, ...TEXT, 0n)],
  hostcall_kv_insert: [refused(KV_INVALID, 8, F, ...KEY, ...TEXT, 0n)],
  hostcall_kv_compare_and_set: [refused(KV_INVALID, 8, F, ...KEY, 1n, ...TEXT, 0n)],
  hostcall_kv_compare_and_delete: [refused(KV_INVALID, F, ...KEY, 1n)],
  hostcall_kv_append: [refused(KV_INVALID, 8, F, ...KEY, ...TEXT, 0n)],
  hostcall_kv_increment: [refused(KV_INVALID, 8, F, ...KEY, 1n)],
  hostcall_kv_delete: [refused(KV_INVALID, F, ...KEY), refused(0, 0, ...KEY)],
  hostcall_kv_list: [
    refused(KV_INVALID, ...OUT, F, AT.key, 0, AT.key, 0, 0),
    own(...OUT, 0, AT.key, 0, AT.key, 0, 0),
  ],
};

const OTHERS: Readonly<Record<string, readonly Sample[]>> = {
  hostcall_init_mm: [own(1, 2)],
  hostcall_panic_hook: [own(...TEXT)],
  hostcall_debug: [own(...TEXT)],
  hostcall_rng_next_u64: [own()],
  hostcall_time_now: [own(8)],
  hostcall_dns_query_ip: [own(...OUT, AT.host, 9, 0)],
  hostcall_dns_query_raw: [own(...OUT, AT.query, 27)],
  abort: [own(AT.wide, AT.wide, 1, 1)],
  seed: [own()],
  trace: [own(AT.wide, 0, 0, 0, 0, 0, 0)],
  'console.log': [own(AT.wide)],
  'console.debug': [own(AT.wide)],
  'console.info': [own(AT.wide)],
  'console.warn': [own(AT.wide)],
  'console.error': [own(AT.wide)],
};

const EBADF = 8;
/** 0, 1 and 2 are the caller's own. */
const descriptor = (...args: Argument[]): Sample => ({ args, is: EBADF, least: 3 });
const IOVS = [AT.slice, 1] as const;
const PATH = [AT.path, 13] as const;

const WASI: Readonly<Record<string, readonly Sample[]>> = {
  args_sizes_get: [own(0, 4)],
  args_get: [own(0, 2_048)],
  environ_sizes_get: [own(0, 4)],
  environ_get: [own(0, 2_048)],
  clock_res_get: [own(1, 8)],
  clock_time_get: [own(0, 0n, 8)],
  random_get: [own(2_048, 16)],
  proc_exit: [own(0)],
  proc_raise: [own(6)],
  sched_yield: [own()],
  fd_write: [descriptor(F, ...IOVS, 8), own(1, ...IOVS, 8)],
  fd_read: [descriptor(F, ...IOVS, 8), own(0, ...IOVS, 8)],
  fd_close: [descriptor(F)],
  fd_renumber: [descriptor(F, 1), descriptor(1, F)],
  fd_fdstat_get: [descriptor(F, 2_048)],
  fd_fdstat_set_flags: [descriptor(F, 0)],
  fd_filestat_get: [descriptor(F, 2_048)],
  fd_seek: [descriptor(F, 0n, 0, 8)],
  fd_tell: [descriptor(F, 8)],
  poll_oneoff: [own(AT.subscription, 2_048, 1, 8)],
  fd_advise: [descriptor(F, 0n, 0n, 0)],
  fd_allocate: [descriptor(F, 0n, 0n)],
  fd_datasync: [descriptor(F)],
  fd_fdstat_set_rights: [descriptor(F, 0n, 0n)],
  fd_filestat_set_size: [descriptor(F, 0n)],
  fd_filestat_set_times: [descriptor(F, 0n, 0n, 0)],
  fd_pread: [descriptor(F, ...IOVS, 0n, 8)],
  fd_prestat_dir_name: [descriptor(F, ...PATH)],
  fd_prestat_get: [descriptor(F, 2_048)],
  fd_pwrite: [descriptor(F, ...IOVS, 0n, 8)],
  fd_readdir: [descriptor(F, 2_048, 64, 0n, 8)],
  fd_sync: [descriptor(F)],
  path_create_directory: [descriptor(F, ...PATH)],
  path_filestat_get: [descriptor(F, 0, ...PATH, 2_048)],
  path_filestat_set_times: [descriptor(F, 0, ...PATH, 0n, 0n, 0)],
  path_link: [descriptor(F, 0, ...PATH, 3, ...PATH)],
  path_open: [descriptor(F, 0, ...PATH, 0, -1n, -1n, 0, 8)],
  path_readlink: [descriptor(F, ...PATH, 2_048, 64, 8)],
  path_remove_directory: [descriptor(F, ...PATH)],
  path_rename: [descriptor(F, ...PATH, 3, ...PATH)],
  path_symlink: [descriptor(...PATH, F, ...PATH)],
  path_unlink_file: [descriptor(F, ...PATH)],
  sock_accept: [descriptor(F, 0, 8)],
  sock_recv: [descriptor(F, ...IOVS, 0, 8, 12)],
  sock_send: [descriptor(F, ...IOVS, 0, 8)],
  sock_shutdown: [descriptor(F, 0)],
};

/** By `nameOf`. */
export const SAMPLES: Readonly<Record<string, readonly Sample[]>> = {
  ...REQUESTS, ...STORES, ...OTHERS,
  ...Object.fromEntries(Object.entries(WASI).map(([name, samples]) => [`wasi ${name}`, samples])),
};
