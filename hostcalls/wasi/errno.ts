/** The error numbers of WASI preview1 that this sandbox answers. */

export const SUCCESS = 0;
export const EBADF = 8;
export const EINVAL = 28;
export const ENOSYS = 52;
export const ENOTDIR = 54;
export const ENOTSOCK = 57;
export const ENOTSUP = 58;
export const ESPIPE = 70;
export const ENOTCAPABLE = 76;
