/**
 * Sources in every language become modules that can be served; broken ones are refused with what
 * the compiler said. A language whose compiler is missing is skipped, but never in CI.
 */

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';

import type { BuildFile } from '../../../contract/build.ts';
import { languageOf } from '../../../daemon/deploy/language.ts';
import { skipWithout } from '../../harness/tools.ts';
import { createParts, outcomeOf, text, toolsOf } from './parts.ts';

const source = (path: string, content: string): BuildFile => ({ path, bytes: text(content) });

function emptyFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'wardian-test-path-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

// Compilers take their time, the more so on a busy machine.
t.setTimeout(240_000);

t.test('the language is told, or guessed: a manifest, a source, a module', async (t) => {
  const guess = (...paths: string[]): string =>
    languageOf('auto', paths.map((path) => ({ path })));
  t.equal(guess('README.md', 'src/main.rs', 'a.c'), 'rust');
  t.equal(guess('a.C'), 'c');
  t.equal(guess('index.ts'), 'assemblyscript');
  t.equal(guess('x/a.wat'), 'wat');
  t.equal(guess('module.wasm', 'a.c'), 'c', 'a module may be older than its source');
  t.equal(guess('a.c', 'x/Cargo.toml', 'Cargo.toml'), 'rust', 'a manifest of the whole folder');
  t.equal(guess('x/Cargo.toml', 'x/b.c'), 'c');
  t.equal(guess('module.d.ts', 'module.wasm'), 'wasm', 'declarations are no source');
  t.equal(guess('notes.txt', 'a.WASM'), 'wasm');
  t.equal(languageOf('', [{ path: 'a.c' }]), 'c');
  t.equal(languageOf('rust', [{ path: 'a.c' }]), 'rust');
  t.throws(() => guess('c', 'rs', 'a.cc'), { code: 'unknown_language' });
});

t.test('WAT, with what V8 takes beyond the first version', async (t) => {
  const parts = await createParts();
  t.teardown(() => parts.close());
  const outcome = await outcomeOf(parts, 'wat', [source('hello.wat', `(module
    (import "env" "hostcall_resp_set_body" (func $body (param i32 i32 i32) (result i32)))
    (memory 1) (data (i32.const 0) "hi")
    (func (export "run") (local v128)
      (drop (call $body (i32.const 0) (i32.const 0) (i32.const 2)))
      (memory.fill (i32.const 0) (i32.const 0) (i32.const 8))
      (drop (i32.trunc_sat_f64_s (f64.const 1)))
      (local.set 0 (i32x4.splat (i32.const 1)))))`)]);
  t.equal(outcome.message, undefined);
  t.equal(outcome.number, 1);
  const { module } = await parts.builders.run({
    kind: 'build', language: 'wat', option: null, rewrite: { memoryBytesMax: 2 ** 20 },
    tools: toolsOf(),
    files: [source('a.wat', `(module (memory 1) (data (i32.const 0) "é😀")
      (func (export "run")))`)],
  }, { onStage: () => {} });
  t.ok(Buffer.from(module).includes('é😀'), 'text in UTF-8 stays what it is');
  t.match(await outcomeOf(parts, 'threads', [source('a.wat', `(module
    (memory 1 1 shared) (func (export "run")))`)]), { code: 'unsupported_feature' });
});

t.test('C, with and without the C library', { skip: skipWithout('clang') }, async (t) => {
  const parts = await createParts();
  t.teardown(() => parts.close());
  const hello = await outcomeOf(parts, 'c', [
    source('main.c', `#include "http_hostcalls.h"
      #include "body.h"
      void run(void) { hostcall_resp_set_body(RESPONSE_OUTGOING, BODY, sizeof BODY - 1); }`),
    source('body.h', '#define BODY "hello"'),
  ]);
  t.equal(hello.output, undefined);
  t.equal(hello.number, 1);

  const library = await outcomeOf(parts, 'c-library', [source('main.c', `
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    void hostcall_debug(const char *, size_t);
    void run(void) {
      char *text = malloc(64);
      snprintf(text, 64, "%d", rand());
      hostcall_debug(text, strlen(text));
    }`)]);
  t.equal(library.output, undefined);
  t.equal(library.number, 1, 'a hostcall that is only declared comes from env');

  const broken = await outcomeOf(parts, 'c-broken', [source('src/main.c', 'void run(void) { x }')]);
  t.match(broken, { code: 'build_failed', message: 'clang failed (exit code 1)' });
  t.match(broken.output, /src\/main\.c:1:\d+: error:/);
  t.notMatch(broken.output, new RegExp(tmpdir()));
  t.match(await outcomeOf(parts, 'c-typo', [source('a.c', `void hostcall_respond(void);
    void run(void) { hostcall_respond(); }`)]), {
    code: 'unknown_import', message: /"env" "hostcall_respond" is not provided/,
  });
  t.match(await outcomeOf(parts, 'c-noise', [source('a.c', `#define A ${'x '.repeat(200)}
    ${'#warning "many words"\n'.repeat(5_000)} void run(void) {}
    #error stop`)]), { code: 'build_failed', output: /\[\d+ more bytes\]$/ });
});

t.test('AssemblyScript, with and without our package', async (t) => {
  const parts = await createParts();
  t.teardown(() => parts.close());
  const hello = await outcomeOf(parts, 'as', [
    source('index.ts', `import { response } from "http_guest";
      import { words } from "./words";
      export function run(): void { response.setText(words()); }`),
    source('words.ts', 'export function words(): string { return "hello"; }'),
  ]);
  t.equal(hello.output, undefined);
  t.equal(hello.number, 1);
  const bare = await outcomeOf(parts, 'as-bare', [source('guest.ts', `
    @external("env", "hostcall_resp_set_response_code")
    declare function code(response: i32, code: i32): i32;
    export function run(): void { assert(code(0, 204) == 0); }`)]);
  t.equal(bare.output, undefined);
  t.equal(bare.number, 1);

  const broken = source('a.ts', 'export function run(): void { x }');
  t.match(await outcomeOf(parts, 'as-broken', [broken]), {
    code: 'build_failed', message: 'asc failed', output: /ERROR .*a\.ts/s,
  });
  const outside = source('a.ts', `import { x } from "../../../etc/a";
    export function run(): void { x(); }`);
  t.match(await outcomeOf(parts, 'as-outside', [outside]), {
    code: 'build_failed', output: /File .* not found/,
  });
  t.match(await outcomeOf(parts, 'as-many', [source('a/a.ts', ''), source('b/b.ts', '')]), {
    code: 'build_failed', message: /none of the \.ts files is called index\.ts/,
  });
  t.match(await outcomeOf(parts, 'as-config', [
    source('index.ts', 'export function run(): void {}'),
    source('asconfig.json', '{"options": {"transform": ["./evil.js"], "noEmit": true}}'),
  ]), { number: 1 }, 'options of the upload are not taken: they could load code');
});

t.test('Rust, one file and a project', { skip: skipWithout('cargo') }, async (t) => {
  const parts = await createParts();
  t.teardown(() => parts.close());
  const guest = `use http_guest::{guest_app, Request, Response};
    fn hello(_: &Request<Vec<u8>>) -> Response<Vec<u8>> { Response::new(b"hello".to_vec()) }
    guest_app!(hello);`;
  const single = await outcomeOf(parts, 'rust', [source('hello.rs', guest)]);
  t.equal(single.output, undefined);
  t.equal(single.number, 1);

  // As our examples write it: the path leads to the crate in a checkout, here to that of the node.
  const project = await outcomeOf(parts, 'rust-project', [
    source('Cargo.toml', `[package]
      name = "project"
      version = "0.1.0"
      edition = "2021"
      [lib]
      crate-type = ["cdylib"]
      [dependencies]
      http_guest = { path = "../../rust/http_guest" }`),
    source('src/lib.rs', `mod other; use http_guest::{guest_app, Request, Response};
      fn hello(_: &Request<Vec<u8>>) -> Response<Vec<u8>> { Response::new(other::body()) }
      guest_app!(hello);`),
    source('src/other.rs', 'pub fn body() -> Vec<u8> { Vec::new() }'),
  ]);
  t.equal(project.output, undefined);
  t.equal(project.number, 1);

  t.match(await outcomeOf(parts, 'rust-broken', [source('a.rs', 'pub fn run() { x }')]), {
    code: 'build_failed', message: 'cargo failed (exit code 101)', output: /cannot find value `x`/,
  });
  t.match(await outcomeOf(parts, 'rust-many', [source('a.rs', ''), source('b.rs', '')]), {
    code: 'build_failed', message: /there is no Cargo\.toml/,
  });
});

t.test('a missing compiler is named, with how to get it', async (t) => {
  const folder = emptyFolder(t);
  const parts = await createParts({ tools: toolsOf({ searchPath: folder }) });
  t.teardown(() => parts.close());
  t.match(await outcomeOf(parts, 'c', [source('a.c', 'void run(void) {}')]), {
    code: 'missing_tool', message: /^C needs clang.*apt install clang/,
  });
  t.match(await outcomeOf(parts, 'rust', [source('a.rs', '')]), {
    code: 'missing_tool', message: /^Rust needs rustc.*rustup\.rs/,
  });
  const program = (name: string, script: string): void => {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, name), 0o755);
  };
  program('rustc', 'echo /nonexistent');
  t.match(await outcomeOf(parts, 'rust', [source('a.rs', '')]), {
    code: 'missing_tool', message: /^Rust needs cargo/,
  });
  program('cargo', 'exit 0');
  t.match(await outcomeOf(parts, 'rust', [source('a.rs', '')]), {
    code: 'missing_tool', message: /no WebAssembly target.*rustup target add/,
  });
  program('clang', 'echo x86_64');
  t.match(await outcomeOf(parts, 'c', [source('a.c', '')]), {
    code: 'missing_tool', message: /cannot compile to wasm32/,
  });
});
