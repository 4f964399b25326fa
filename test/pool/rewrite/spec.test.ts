/**
 * The official WebAssembly test suite, each script run by V8 alone and through the rewriter: every
 * command must have the same outcome. What cannot be converted, is refused at deploy, or V8 itself
 * does not pass, is listed with its reason.
 */
import t from 'tap';
import { skipOutsideCi } from '../../harness/tools.ts';
import { rewrite } from '../../../pool/rewrite/index.ts';
import {
  loadSuite, matches, type Command, type Script, type Suite,
} from './wast-script.ts';
import {
  act, outcomeOf, PlainWorld, RewrittenWorld, type Outcome, type World,
} from './wast-world.ts';

interface Tally {
  same: number;
  asExpected: number;
  unlikeScript: string[];
  refused: Map<string, number>;
  skipped: number;
  text: number;
}

function instantiate(world: World, bytes: Uint8Array, name: string | undefined): Outcome {
  let outcome: Outcome = { kind: 'return', detail: '' };
  try {
    world.current = world.instantiate(bytes);
  } catch (error) {
    outcome = outcomeOf(error);
    world.current = outcome;
  }
  if (name !== undefined) world.instances.set(`$${name.replace(/^\$/, '')}`, world.current);
  return outcome;
}

function attempt(run: () => void): Outcome {
  try {
    run();
    return { kind: 'return', detail: '' };
  } catch (error) {
    return outcomeOf(error);
  }
}

/** A module that must be rejected: V8 and the rewriter judge it without instantiating. */
function judge(world: World, bytes: Uint8Array): Outcome {
  if (world instanceof RewrittenWorld) {
    return attempt(() => void rewrite(bytes, { memoryBytesMax: 2 ** 32 }));
  }
  const valid = WebAssembly.validate(bytes as Uint8Array<ArrayBuffer>);
  return { kind: valid ? 'return' : 'invalid', detail: '' };
}

/** Commands that may differ, by script and line, and why. */
const KNOWN: ReadonlyMap<string, string> = new Map([
  ['imports:454', 'a table that nothing grows is given its initial size as maximum'],
  ['imports:462', 'a table that nothing grows is given its initial size as maximum'],
  ['linking:410', 'calls into a module whose instantiation failed and which was given no fuel'],
  ['linking:423', 'calls into a module whose instantiation failed and which was given no fuel'],
  ['linking0:42', 'looks at what a module with several memories, refused, would have written'],
  ...[25, 26, 27, 28, 29].map((line): [string, string] => [`load1:${line}`,
    'looks at what a module with several memories, refused, would have written']),
]);

type Definitions = Map<string, Uint8Array>;

function run(world: World, command: Command, script: Script, definitions: Definitions): Outcome {
  switch (command.type) {
    case 'module':
      return instantiate(world, script.bytes(command), command.name);
    case 'module_definition':
      definitions.set(command.name ?? '', script.bytes(command));
      return judge(world, script.bytes(command));
    case 'module_instance':
      return instantiate(world, definitions.get(command.module ?? '')!, command.instance);
    case 'register': {
      const name = command.name === undefined ? null : `$${command.name.replace(/^\$/, '')}`;
      const found = name === null ? world.current : world.instances.get(name);
      if (found !== undefined) world.instances.set(command.as!, found);
      return { kind: 'return', detail: '' };
    }
    case 'assert_unlinkable': case 'assert_uninstantiable':
      return attempt(() => void world.instantiate(script.bytes(command)));
    case 'assert_invalid': case 'assert_malformed':
      return judge(world, script.bytes(command));
    default:
      return act(world, command.action!, command.expected ?? []);
  }
}

const EXPECTED_KIND: Readonly<Record<string, readonly string[]>> = {
  assert_trap: ['trap'], assert_exhaustion: ['exhaustion'], assert_exception: ['exception'],
  assert_unlinkable: ['link'], assert_uninstantiable: ['trap', 'link'],
  assert_invalid: ['invalid'], assert_malformed: ['invalid'],
};

function asScriptWants(command: Command, outcome: Outcome): boolean {
  const kinds = EXPECTED_KIND[command.type];
  if (kinds !== undefined) return kinds.includes(outcome.kind);
  if (outcome.kind !== 'return') return false;
  return command.type !== 'assert_return' || matches(command.expected ?? [], outcome.value);
}

function reasonOf(outcome: Outcome): string {
  return outcome.detail.replace(/^[^:]*: /, '').replace(/ \(offset \d+\)/, '')
    .replace(/: \w+$/, '');
}

function runScript(script: Script, tally: Tally): string[] {
  const sharesMemory = script.commands.some((command) => command.module_type !== 'text'
    && command.type === 'module' && importsMemory(script.bytes(command)));
  const plain = new PlainWorld();
  const rewritten = new RewrittenWorld(!sharesMemory);
  const definitions: Definitions = new Map();
  const differences: string[] = [];
  for (const command of script.commands) {
    if (command.module_type === 'text' && command.binary_filename === undefined) {
      tally.text++;
      continue;
    }
    const first = run(plain, command, script, definitions);
    const second = run(rewritten, command, script, definitions);
    const place = `${script.name}.wast:${command.line} ${command.type}`;
    if (second.kind === 'refused') {
      const reason = reasonOf(second);
      tally.refused.set(reason, (tally.refused.get(reason) ?? 0) + 1);
    } else if (second.kind === 'skipped' || (second.kind === 'link' && first.kind !== 'link'
      && hasRefused(rewritten))) {
      tally.skipped++;
    } else if (first.kind === second.kind && (first.kind === 'invalid'
      || first.detail === second.detail)) {
      tally.same++;
      if (asScriptWants(command, second)) tally.asExpected++;
      else tally.unlikeScript.push(`${place}: ${second.kind} ${second.detail.slice(0, 80)}`);
    } else if (KNOWN.has(`${script.name}:${command.line}`)) {
      t.comment(`differs as it must: ${place}: ${KNOWN.get(`${script.name}:${command.line}`)}`);
    } else {
      differences.push(`${place}: V8 ${first.kind} ${first.detail}, `
        + `rewritten ${second.kind} ${second.detail}`);
    }
  }
  return differences;
}

function hasRefused(world: World): boolean {
  return [...world.instances.values(), world.current].some((instance) => 'kind' in instance);
}

function importsMemory(bytes: Uint8Array): boolean {
  try {
    const module = new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
    return WebAssembly.Module.imports(module).some(({ kind }) => kind === 'memory');
  } catch (error) {
    if (error instanceof WebAssembly.CompileError) return false;
    throw error;
  }
}

function report(suite: Suite, tally: Tally, refusedScripts: readonly string[]): void {
  t.comment(`converter: ${suite.converter}; ${suite.scripts.length} scripts run, `
    + `${suite.unconverted.length} not converted`);
  for (const { name, reason } of suite.unconverted) t.comment(`not converted: ${name}: ${reason}`);
  t.comment(`${tally.same} commands with the same outcome, `
    + `${tally.asExpected} as the script wants`);
  t.comment(`${tally.text} commands about the text format, not run`);
  for (const [reason, count] of tally.refused) t.comment(`refused ${count} modules: ${reason}`);
  t.comment(`${tally.skipped} commands on refused modules, not run`);
  t.comment(`scripts with refused modules: ${refusedScripts.join(' ')}`);
  for (const line of tally.unlikeScript) t.comment(`V8 itself differs from the script: ${line}`);
}

const suite = loadSuite();

if (typeof suite === 'string') {
  skipOutsideCi(t, suite);
} else {
  const tally: Tally = {
    same: 0, asExpected: 0, unlikeScript: [], refused: new Map(), skipped: 0, text: 0,
  };
  const refusedScripts: string[] = [];
  const differences: string[] = [];
  for (const script of suite.scripts) {
    const before = [...tally.refused.values()].reduce((sum, count) => sum + count, 0);
    differences.push(...runScript(script, tally));
    const after = [...tally.refused.values()].reduce((sum, count) => sum + count, 0);
    if (after > before) refusedScripts.push(script.name);
  }
  suite.remove();
  report(suite, tally, refusedScripts);
  t.strictSame(differences, [], 'metered and unmetered modules behave alike');
  const least = suite.converter === 'wasm-tools' ? 25_000 : 15_000;
  t.ok(tally.same > least, `${tally.same} commands compared`);
}
