/**
 * What the builder asks at deploy time: which ABI serves a module, what a request calls, whether
 * the guest may wait, and everything that keeps it from being served, in words for whoever deploys
 * it.
 */

import { hostcallSignature, signature } from './define.ts';
import { ENTRY, HOSTCALLS } from './tables.ts';

export { ENTRY } from './tables.ts';

/**
 * An import or export of the module before the rewrite; types, of functions, as the text format
 * names them.
 */
export interface ExportFact {
  readonly name: string;
  readonly kind: string;
  readonly params?: readonly string[];
  readonly results?: readonly string[];
}

export interface ImportFact extends ExportFact {
  readonly module: string;
}

/** `code` is what the deploy fails with. */
export interface Violation {
  readonly code: 'unknown_import' | 'missing_export';
  readonly message: string;
}

export interface Inspection {
  /** A folder name under `hostcalls/`. */
  readonly abi: string;
  /** The export that a request calls. */
  readonly entry: string;
  /** True if it imports a hostcall that can wait: its calls must then go through `promising`. */
  readonly suspends: boolean;
  /** True if it imports a hostcall that reads the request's body piece by piece. */
  readonly streamsBody: boolean;
  /** Empty if the module can be served. */
  readonly violations: readonly Violation[];
}

/** The kind of function imports and exports, by the name that the rewriter gives it. */
const FUNCTION = 'func';

/** Names in messages: a module can hold any text. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 128 ? `${text.slice(0, 128)}…` : text);
}

function importViolation(fact: ImportFact): string | null {
  const path = `${quoted(fact.module)} ${quoted(fact.name)}`;
  const module = HOSTCALLS.get(fact.module);
  if (fact.kind !== FUNCTION) {
    return `the ${fact.kind} ${path} is imported, but only functions are provided`;
  }
  if (module === undefined) {
    const known = [...HOSTCALLS.keys()].map(quoted).join(', ');
    return `${path} is not provided: there is no module ${quoted(fact.module)}, but ${known}`;
  }
  const called = module.get(fact.name);
  if (called === undefined) return `${path} is not provided`;
  const expected = hostcallSignature(called);
  const actual = signature(fact.params ?? [], fact.results ?? []);
  return actual === expected ? null : `${path} is imported as ${actual}, but is ${expected}`;
}

function entryViolation(exports: readonly ExportFact[]): string | null {
  const entry = exports.find((fact) => fact.name === ENTRY);
  if (entry === undefined) {
    const command = exports.some((fact) => fact.name === '_start' && fact.kind === FUNCTION);
    return `there is no export ${quoted(ENTRY)}, a function () -> () that serves a request`
      + (command ? '; it is a WASI command (it exports "_start"), which is not served' : '');
  }
  if (entry.kind !== FUNCTION) {
    return `the export ${quoted(ENTRY)} is a ${entry.kind}, not a function () -> ()`;
  }
  const actual = signature(entry.params ?? [], entry.results ?? []);
  return actual === '() -> ()' ? null : `the export ${quoted(ENTRY)} is ${actual}, not () -> ()`;
}

export function inspectModule(
  imports: readonly ImportFact[], exports: readonly ExportFact[],
): Inspection {
  const violations: Violation[] = [];
  let suspends = false;
  let streamsBody = false;
  for (const fact of imports) {
    const message = importViolation(fact);
    if (message !== null) {
      violations.push({ code: 'unknown_import', message });
      continue;
    }
    const called = HOSTCALLS.get(fact.module)!.get(fact.name)!;
    if (called.waits) suspends = true;
    if (called.streamsBody === true) streamsBody = true;
  }
  const message = entryViolation(exports);
  if (message !== null) violations.push({ code: 'missing_export', message });
  return { abi: 'terrarium', entry: ENTRY, suspends, streamsBody, violations };
}
