/**
 * The names that the rewriter adds to every module and the pool reads. Guests may not use the
 * prefix: a module that imports or exports a name under it is refused at deploy.
 */

export const RESERVED_PREFIX = 'wardian:';

/** The module name of everything the host provides beyond hostcalls. */
export const HOST_MODULE = 'wardian:host';
/** The guest's memory, defined by the guest, imported after the rewrite. */
export const MEMORY_IMPORT = 'memory';
/**
 * `(i32 context, i32 number, i32 × HOSTCALL_PARAMETERS) -> i32`: the hostcall of that number, with
 * zeros for parameters that it does not have; 0 where it answers nothing.
 */
export const HOSTCALL_IMPORT = 'hostcall';
export const HOSTCALL_PARAMETERS = 6;

/** i64, mutable: fuel left. The host sets it before the first call; below zero the guest traps. */
export const FUEL_EXPORT = 'wardian:fuel';
/**
 * i32, mutable: what the guest's hostcalls pass as their first argument, an index into the worker's
 * contexts.
 */
export const CONTEXT_EXPORT = 'wardian:context';
/**
 * i32, mutable: the memory's size in pages as the guest sees it; the memory itself may be larger.
 */
export const PAGES_EXPORT = 'wardian:pages';
/**
 * i32, mutable: the pages in all that the last refused `memory.grow` asked for; 0 when none was
 * refused. Tells an allocator's trap for want of memory from any other. Absent without memory.
 */
export const REFUSED_EXPORT = 'wardian:refused';
/**
 * Table 0, which Terrarium guests index for their allocator. Absent when the module has no table.
 */
export const TABLE_EXPORT = 'wardian:table';
/**
 * `(i32 argument, i32 table index) -> i32`: calls an entry of table 0 of type `(i32) -> i32`.
 * Stands in for TABLE_EXPORT where the rewriter made the table a list.
 */
export const CALL_EXPORT = 'wardian:call';
/** The function name under which a call through such a list traps. */
export const DISPATCHER_NAME = 'wardian:call_indirect';
/** The former start function, `() -> ()`. Absent when the module has none. */
export const START_EXPORT = 'wardian:start';
