/**
 * Writes `docs/hostcalls.md` from the tables of hostcalls. `node hostcalls/page.ts` rewrites the
 * file; a test holds it to the tables.
 */

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PACKAGE_ROOT } from '../contract/entry.ts';
import {
  BODY_SMALL_BYTES_MAX, ENV_BYTES_MAX, GUEST_HEADER_BYTES_MAX, GUEST_HEADER_COUNT_MAX, HANDLES_MAX,
  HEADER_NAME_BYTES_MAX, HEADER_VALUE_BYTES_MAX, KV_KEY_BYTES_MAX, KV_LIST_MAX,
  KV_TTL_MS_MAX, KV_VALUE_BYTES_MAX, METHOD_BYTES_MAX, URL_BYTES_MAX,
} from '../contract/limits.ts';
import { hostcallSignature, type Hostcall, type MemoryPicture } from './define.ts';
import { DEBT_MAX } from './meter.ts';
import {
  ASSEMBLYSCRIPT_HOSTCALLS, EXTENSION_HOSTCALLS, KV_STATUSES, STREAM_HOSTCALLS,
  TERRARIUM_HOSTCALLS,
} from './terrarium/index.ts';
import { WASI_HOSTCALLS } from './wasi/index.ts';

const HEAD = `# Hostcalls

What a guest may import: the Terrarium hostcalls, Wardian's own in their style, and what
AssemblyScript's runtime needs, from \`env\`; and WASI preview1, from
\`wasi_snapshot_preview1\`. A module may import both. This page is written by
\`node hostcalls/page.ts\` from the tables that the hostcalls are made of.

## What holds for all of them

- Integers are little-endian. Addresses, lengths and handles are \`i32\`, taken as unsigned
  where they are addresses or lengths.
- **An address or length outside of the guest's memory ends the guest**, and so does a handle
  that is not one, where the hostcall has no error value for it. The error is \`bad_hostcall\`;
  its message names the hostcall and the argument: \`hostcall_req_get_path: ptr_out: 4 bytes at
  70000 are outside of the guest's memory of 65536 bytes\`. The memory is as large as
  \`memory.size\` says. Every argument is looked at before anything is done.
- A guest that is ended cannot survive it: what the hostcall throws is a genuine trap, which
  neither \`catch_all\` nor \`try_table\` catches, and it has no fuel left.
- Text that crosses is bytes. Header values and bodies pass unchanged, UTF-8 or not (the host
  keeps header values as one character per byte). Methods, URLs and header names must be UTF-8.
- Handles are numbered from 1 in one sequence for requests, pending requests and responses, and
  never reused. Request 0 is the incoming request, response 0 the outgoing response. A request
  may take ${HANDLES_MAX} handles.
- **Data for the guest** is put into blocks that the host takes from the guest's \`malloc\`,
  named by \`hostcall_init_mm\`. Blocks of text or bytes are one byte longer than their length
  and end with a NUL. Nothing to give is address 0 and length 0, without an allocation: that
  works without \`hostcall_init_mm\`. With something to give and no \`malloc\`, the guest ends
  with \`missing_allocator\`. A \`malloc\` that answers 0 or a block outside of the memory,
  throws, waits, or needs itself, ends the guest.
- A hostcall marked **waits** may suspend the guest: the thread goes on with other guests.

## What they cost

Each hostcall costs a fixed amount of fuel (see fuel.md) and counts towards the request's
\`hostcalls\`. What it copies, in either direction, counts towards \`hostcallBytes\` and costs
one unit of fuel for 8 bytes (bulk) or for one byte (text: what the host looks at or converts),
rounded up for each copy and charged before it is made.

The host keeps charges as a debt, since the fuel counter is slow to reach from outside: it takes
them from the counter once ${DEBT_MAX} units are owed, and when the request ends. So a guest
runs on at most ${DEBT_MAX} unpaid units, usage is exact, and a request that used more than its
fuel fails even if it had returned by the time that it was noticed.

## Bounds

| what | at most |
|---|---|
| a method | ${METHOD_BYTES_MAX} bytes |
| a URL | ${URL_BYTES_MAX} bytes |
| a header name | ${HEADER_NAME_BYTES_MAX} bytes |
| a header value | ${HEADER_VALUE_BYTES_MAX} bytes |
| header fields of a request or response that the guest makes | ${GUEST_HEADER_COUNT_MAX}, \
${GUEST_HEADER_BYTES_MAX} bytes |
| a key of the store | 1 to ${KV_KEY_BYTES_MAX} bytes |
| a value of the store | ${KV_VALUE_BYTES_MAX} bytes, or less for the tenant |
| keys that are listed in one call | ${KV_LIST_MAX} |
| a time to live | ${KV_TTL_MS_MAX} ms |
| the app's environment | ${ENV_BYTES_MAX} bytes |

What a request may use of the rest (body, log, upstream requests, DNS queries, store operations)
is set by the operator, the tenant and the app.

## The request and the response

The incoming request has the client's header fields, in lower case and in order, and two that
the platform sets, \`fastly-client-ip\` and \`x-fastly-client-ip\`: the client's address. What a
client sends under these names is dropped.

The response is 200 with an empty body until the guest sets something. When the guest returns
(or calls \`proc_exit(0)\`):

- a status below 200 or above 599 fails the request with \`bad_response\`;
- fields that belong to the connection (\`connection\` and what it names, \`keep-alive\`,
  \`proxy-connection\`, \`te\`, \`trailer\`, \`transfer-encoding\`, \`upgrade\`) are taken out;
- a \`content-length\` must be the length of the body, except where there is none but may be
  announced (HEAD, 304); of a body that is passed on whose length the upstream did not tell, it is
  the length that is promised to the client;
- 204 and 304 lose their body.

## Pictures of memory

`;

const PICTURES: Readonly<Record<MemoryPicture, string>> = {
  text: `**A block**: address and length through the out-pointers, the bytes and a NUL in the block.

\`\`\`
ptr_out            len_out            malloc(len + 1)
+----+----+----+----+  +----+----+----+----+  +---+---+---+----+
| address, u32      |  | 3                 |  | G | E | T | \\0 |
+----+----+----+----+  +----+----+----+----+  +---+---+---+----+
\`\`\`
`,
  slices: `**An array of slices**: its address and the *number of slices* through the
out-pointers; each slice has a block of its own. The guest frees every block and the array.

\`\`\`
ptr_out      len_out    malloc(8 × 2)                           each malloc(len + 1)
+---------+  +---+      +---------+---+---------+---+           +---+---+---+----+
| address |  | 2 |      | ptr     | 3 | ptr     | 5 |    ptr →  | o | n | e | \\0 |
+---------+  +---+      +---------+---+---------+---+           +---+---+---+----+
\`\`\`
`,
  handle: `**A handle**: 4 bytes at \`p_out\`, the i32 handle out of the array (not its position).
`,
  number: `**A number of 64 bits**: 8 bytes at the out-pointer. Address 0 there means that the
number is not wanted.
`,
  nanos: `**Nanoseconds**: 4 bytes at \`nanos_out\`, a u32 below 1,000,000,000.
`,
  fdstat: `**fdstat**: 24 bytes: file type u8 at 0, flags u16 at 2, rights u64 at 8, inheriting
rights u64 at 16; the rest is 0.
`,
  events: `**Events**: 32 bytes each: user data u64 at 0, error number u16 at 8, type u8 at 10,
bytes u64 at 16; the rest is 0. A subscription has 48: user data u64 at 0, type u8 at 8 (0
clock, 1 read, 2 write), then for a clock its id u32 at 16, nanoseconds u64 at 24, flags u16 at
40 (1: an absolute time), otherwise the descriptor u32 at 16.
`,
};

const PICTURE_NAMES: Readonly<Record<MemoryPicture, string>> = {
  text: 'a block', slices: 'an array of slices', handle: 'a handle', number: 'a number of 64 bits',
  nanos: 'nanoseconds', fdstat: 'fdstat', events: 'events',
};

function section(called: Hostcall): string {
  const rows = called.parameters.map(({ name, type, is }) => `| \`${name}\` | ${type} | ${is} |`);
  const table = rows.length === 0 ? '' : `\n| parameter | type | what it is |\n|---|---|---|\n`
    + `${rows.join('\n')}\n`;
  const memory = called.memory === undefined ? ''
    : `\nMemory: ${PICTURE_NAMES[called.memory]}, as above.\n`;
  const errors = called.errors === 'None.' ? '' : `\nErrors: ${called.errors}\n`;
  return `#### \`${called.name}\`

\`${hostcallSignature(called)}\`${called.waits ? ' · waits' : ''}

${called.does}
${table}${errors}${memory}`;
}

const EXTENSION = `
## Environment, secrets, namespaces: \`env\`

What the app was given beside its code. Environment variables are also WASI's. Secrets are not:
they are in memory only while they are asked for.

A **store** is a key-value store by its handle: 0 is the deployment's own (the one that
\`hostcall_kvstore_*\` use), others are namespaces of the tenant that the app is bound to by name.
Handles are of the one sequence of all handles. An entry has a **revision**, which changes with
every change of it and never returns, so that it tells whether anybody else has written since. An
entry whose **time to live** is over is absent. Keys are in byte order.

A refusal is a negative number, changes nothing, and stores nothing through the out-pointers; the
log tells the reason, with the limit:

| number | what is refused |
|---|---|
${KV_STATUSES.map(([status, means]) => `| ${status} | ${means} |`).join('\n')}

`;

const STREAMS = `
## Bodies piece by piece: \`env\`

With the hostcalls above a guest has a body whole, in its memory, or not at all. With these it
reads a body as it arrives, or passes it on unseen, so that one of a gigabyte costs no more memory
than one of a kilobyte. Whoever receives sets the pace: a client or an upstream that is slow holds
the other end back.

- **Of the incoming request**: a module that imports \`hostcall_req_body_read\` or
  \`hostcall_req_set_body_from\` is started as soon as the head is there, if the body is declared
  longer than ${BODY_SMALL_BYTES_MAX} bytes or its length is not declared. Such a body may have up
  to the app's \`streamBytes\`, is not held, and cannot be had with \`hostcall_req_get_body\` or
  from WASI's descriptor 0: those end the guest. Smaller ones are whole in any case and can be read
  either way. A guest that answers before the body is read to its end makes the host close the
  connection behind the answer.
- **Of a response**: \`hostcall_req_send_head\` does not wait for the body. All such bodies of a
  request together may have \`streamBytes\`; an upstream that sends nothing for
  \`streamStallMs\` while it is waited for, or takes nothing, has failed. \`subrequestMs\` bounds
  the time until the head, counted from the end of the upload where one is passed on.
- **Passed on**: \`hostcall_resp_set_body_from\` and \`hostcall_req_set_body_from\` take what is
  left. A body can be passed on once, and is not read any more then. When a body that is being
  passed on breaks off, so does the connection to whoever receives it: nobody can mistake what came
  for the whole.

`;

const ASSEMBLYSCRIPT = `
## AssemblyScript: \`env\`

A string is the address of its UTF-16 units; its length in bytes stands in the four bytes before.

`;

const WASI = `
## WASI preview1: \`wasi_snapshot_preview1\`

No files. Descriptor 0 reads the request's body, 1 and 2 write to the deployment's log. The answer
is an error number, 0 if it went well.

`;

export function hostcallsPage(): string {
  return [
    HEAD, Object.values(PICTURES).join('\n'),
    '\n## Terrarium: `env`\n\n', TERRARIUM_HOSTCALLS.map(section).join('\n'),
    EXTENSION, EXTENSION_HOSTCALLS.map(section).join('\n'),
    STREAMS, STREAM_HOSTCALLS.map(section).join('\n'),
    ASSEMBLYSCRIPT, ASSEMBLYSCRIPT_HOSTCALLS.map(section).join('\n'),
    WASI, WASI_HOSTCALLS.map(section).join('\n'),
  ].join('');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL('docs/hostcalls.md', PACKAGE_ROOT), hostcallsPage());
}
