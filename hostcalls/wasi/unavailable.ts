/**
 * Everything of preview1 that needs files, directories or sockets. There are none, but the
 * functions are provided: libraries import them whether they use them or not.
 */

import { hostcall, type Hostcall, type Parameter, type WasmType } from '../define.ts';
import { EBADF, ENOTCAPABLE, ENOTDIR, ENOTSOCK, ESPIPE } from './errno.ts';
import { openDescriptor } from './state.ts';

/** The answers for a descriptor that is open. */
const ERRNO = { EBADF, ENOTCAPABLE, ENOTDIR, ENOTSOCK, ESPIPE } as const;

/**
 * Name, parameters (`name:type`; the type is i32 where none is given), and the answer if the
 * parameter called `fd` is an open descriptor. Without one of that name, there is no descriptor
 * that would do.
 */
const ROWS: readonly (readonly [string, string, keyof typeof ERRNO])[] = [
  ['fd_advise', 'fd offset:i64 len:i64 advice', 'ESPIPE'],
  ['fd_allocate', 'fd offset:i64 len:i64', 'ENOTCAPABLE'],
  ['fd_datasync', 'fd', 'ENOTCAPABLE'],
  ['fd_fdstat_set_rights', 'fd base:i64 inheriting:i64', 'ENOTCAPABLE'],
  ['fd_filestat_set_size', 'fd size:i64', 'ENOTCAPABLE'],
  ['fd_filestat_set_times', 'fd atim:i64 mtim:i64 flags', 'ENOTCAPABLE'],
  ['fd_pread', 'fd iovs iovs_len offset:i64 read_out', 'ESPIPE'],
  ['fd_prestat_dir_name', 'dir_fd path path_len', 'EBADF'],
  ['fd_prestat_get', 'dir_fd prestat_out', 'EBADF'],
  ['fd_pwrite', 'fd iovs iovs_len offset:i64 written_out', 'ESPIPE'],
  ['fd_readdir', 'fd buf buf_len cookie:i64 used_out', 'ENOTDIR'],
  ['fd_sync', 'fd', 'ENOTCAPABLE'],
  ['path_create_directory', 'fd path path_len', 'ENOTDIR'],
  ['path_filestat_get', 'fd flags path path_len stat_out', 'ENOTDIR'],
  ['path_filestat_set_times', 'fd flags path path_len atim:i64 mtim:i64 fst_flags', 'ENOTDIR'],
  ['path_link', 'fd old_flags old_path old_path_len new_fd new_path new_path_len', 'ENOTDIR'],
  [
    'path_open',
    'fd dirflags path path_len oflags rights_base:i64 rights_inheriting:i64 fdflags fd_out',
    'ENOTDIR',
  ],
  ['path_readlink', 'fd path path_len buf buf_len used_out', 'ENOTDIR'],
  ['path_remove_directory', 'fd path path_len', 'ENOTDIR'],
  ['path_rename', 'fd old_path old_path_len new_fd new_path new_path_len', 'ENOTDIR'],
  ['path_symlink', 'old_path old_path_len fd new_path new_path_len', 'ENOTDIR'],
  ['path_unlink_file', 'fd path path_len', 'ENOTDIR'],
  ['sock_accept', 'fd flags fd_out', 'ENOTSOCK'],
  ['sock_recv', 'fd ri_data ri_data_len ri_flags read_out ro_flags_out', 'ENOTSOCK'],
  ['sock_send', 'fd si_data si_data_len si_flags written_out', 'ENOTSOCK'],
  ['sock_shutdown', 'fd how', 'ENOTSOCK'],
];

function parameter(text: string): Parameter {
  const [name, type] = text.split(':') as [string, WasmType?];
  return { name, type: type ?? 'i32', is: 'not looked at' };
}

function unavailable([name, parameters, answer]: (typeof ROWS)[number]): Hostcall {
  const described = parameters.split(' ').map(parameter);
  const fd = described.findIndex((one) => one.name === 'fd');
  return hostcall({
    name,
    parameters: described,
    result: 'i32',
    waits: false,
    fuelPerByte: 0,
    does: 'Nothing: there are no files, directories or sockets.',
    errors: fd < 0 ? 'EBADF.' : `EBADF, or ${answer} for 0, 1 and 2 while they are open.`,
    run(guest, ...args) {
      if (fd < 0) return EBADF;
      return openDescriptor(guest, args[fd] as number) === null ? EBADF : ERRNO[answer];
    },
  });
}

export const UNAVAILABLE_HOSTCALLS = ROWS.map(unavailable);
