/**
 * The steps of a build: source to module, checks, rewriting, compilation. Each throws a typed
 * refusal; what comes out can be stored and served.
 */

import { BuildError } from '../../contract/build.ts';
import type {
  BuildFile, BuildJob, BuildResult, BuildStage, Job, LocateJob, LocateResult,
} from '../../contract/build.ts';
import type { ModuleFacts } from '../../contract/deployment.ts';
import { ARTIFACT_BYTES_MAX, MODULE_BYTES_MAX } from '../../contract/limits.ts';
import { ENTRY, inspectModule } from '../../hostcalls/inspect.ts';
import { HOSTCALL_NUMBERS } from '../../hostcalls/numbers.ts';
import { rewrite } from '../rewrite/index.ts';
import type { RewriteOptions, RewriteResult } from '../rewrite/index.ts';
import { locate } from '../symbols/locate.ts';
import { withSourceMap } from '../symbols/source-map.ts';
import { compileAssemblyScript } from './assemblyscript.ts';
import { compileC } from './c.ts';
import { compileRust } from './rust.ts';
import { assembleWat } from './wat.ts';

const WASM_MAGIC = [0x00, 0x61, 0x73, 0x6d];
const VIOLATIONS_SHOWN_MAX = 50;

/** The one file with this extension, or the one with the customary name. */
function onlyFile(files: readonly BuildFile[], extension: string, customary: string): BuildFile {
  const candidates = files.filter((file) => file.path.toLowerCase().endsWith(extension));
  const [first] = candidates;
  if (first === undefined) {
    throw new BuildError('bad_upload', `the upload holds no ${extension} file`);
  }
  if (candidates.length === 1) return first;
  const named = candidates.find((file) => file.path === customary);
  if (named !== undefined) return named;
  throw new BuildError('bad_upload',
    `the upload holds ${candidates.length} ${extension} files, and none is called ${customary}`);
}

/** With the source map that came beside it, if one did. */
function uploadedModule(files: readonly BuildFile[]): Uint8Array {
  const { path, bytes } = onlyFile(files, '.wasm', 'module.wasm');
  const map = files.find((file) => file.path === `${path}.map`);
  return map === undefined ? bytes : withSourceMap(bytes, new TextDecoder().decode(map.bytes));
}

async function toModule(job: BuildJob): Promise<Uint8Array> {
  switch (job.language) {
    case 'wasm': return uploadedModule(job.files);
    case 'wat': return assembleWat(onlyFile(job.files, '.wat', 'module.wat'));
    case 'assemblyscript': return compileAssemblyScript(job);
    case 'c': return compileC(job);
    case 'rust': return compileRust(job);
  }
}

function requireModule(module: Uint8Array): void {
  if (module.length > MODULE_BYTES_MAX) {
    throw new BuildError('module_too_large',
      `${module.length} bytes, the limit is ${MODULE_BYTES_MAX} bytes`);
  }
  if (WASM_MAGIC.some((byte, index) => module[index] !== byte)) {
    throw new BuildError('not_wasm', 'the file does not begin with \\0asm');
  }
}

/**
 * V8 compiles every function now: the child runs with `--no-wasm-lazy-compilation`, without which
 * this call returns at once and the first request pays.
 */
function compile(artifact: Uint8Array): WebAssembly.Module {
  try {
    return new WebAssembly.Module(artifact);
  } catch (cause) {
    if (!(cause instanceof WebAssembly.CompileError)) throw cause;
    const reason = cause.message.replace(/^WebAssembly\.Module\(\): /, '');
    throw new BuildError('compile_failed', reason, '', { cause });
  }
}

/** Throws `unknown_import`, `missing_export` and the like, with every violation in the message. */
function inspect(rewritten: RewriteResult): ModuleFacts {
  const { abi, entry, suspends, streamsBody, violations } =
    inspectModule(rewritten.imports, rewritten.exports);
  const [first] = violations;
  if (first !== undefined) {
    // Violations of one kind are told together: each unknown import by name.
    const same = violations.filter((violation) => violation.code === first.code);
    const shown = same.slice(0, VIOLATIONS_SHOWN_MAX).map((violation) => violation.message);
    const more = same.length - shown.length;
    if (more > 0) shown.push(`and ${more} more`);
    throw new BuildError(first.code, shown.join('; '));
  }
  const {
    memory, tableEntries, hasStart, hasTable, listedEntries, fuelAtInstantiation,
  } = rewritten;
  return {
    abi, entry, suspends, streamsBody, tableEntries, hasStart, hasTable, listedEntries,
    fuelAtInstantiation,
    memory: memory === null ? null
      : { initialPages: memory.initialPages, maximumPages: memory.maximumPages },
  };
}

/** What the host calls; other exports would only cost at every instantiation. */
const ENTRIES: ReadonlySet<string> = new Set([ENTRY]);

/** The same for a module's first rewriting and for whoever wants to know what became of it. */
function optionsOf({ rewrite: { memoryBytesMax } }: Job): RewriteOptions {
  return { memoryBytesMax, keepExports: ENTRIES, numbers: HOSTCALL_NUMBERS };
}

/** Which lines of the source the offsets belong to. */
export function findLines(job: LocateJob): LocateResult {
  const module = onlyFile(job.files, '.wasm', 'module.wasm').bytes;
  return { lines: locate(module, job.artifactHash, optionsOf(job), job.offsets) };
}

/** Throws BuildError or WardianError; anything else is a fault of ours. */
export async function build(
  job: BuildJob, report: (stage: BuildStage) => Promise<void>,
): Promise<BuildResult> {
  await report('building');
  const module = await toModule(job);
  requireModule(module);
  await report('rewriting');
  const rewritten = rewrite(module, optionsOf(job));
  const facts = inspect(rewritten);
  const artifact = rewritten.bytes;
  if (artifact.length > ARTIFACT_BYTES_MAX) {
    throw new BuildError('module_too_large',
      `${artifact.length} bytes once metered, the limit is ${ARTIFACT_BYTES_MAX} bytes`);
  }
  await report('compiling');
  compile(artifact);
  return { module, artifact, facts, warnings: [] };
}
