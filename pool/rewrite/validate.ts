/**
 * What V8 says about a module that it does not accept. The rewriter itself does not check types;
 * V8's validation of the source, at several times the rewriter's speed, makes sure that no invalid
 * module becomes a valid one.
 */

export function describeInvalid(source: Uint8Array): string {
  try {
    // Compiles lazily, but validates at once: an invalid module gets no further.
    void new WebAssembly.Module(source as Uint8Array<ArrayBuffer>);
  } catch (error) {
    if (error instanceof WebAssembly.CompileError) {
      const message = error.message.replace(/^WebAssembly\.Module\(\): /, '');
      const offset = /@\+(\d+)/.exec(message)?.[1];
      const where = offset === undefined ? 'module' : sectionAt(source, Number(offset));
      return `${where}: ${message.replace(/ @\+(\d+)/, ' (offset $1)')}`;
    }
    throw error;
  }
  return 'module: invalid';
}

const NAMES: Readonly<Record<number, string>> = {
  0: 'custom', 1: 'type', 2: 'import', 3: 'function', 4: 'table', 5: 'memory', 6: 'global',
  7: 'export', 8: 'start', 9: 'element', 10: 'code', 11: 'data', 12: 'data count', 13: 'tag',
};

/** The section that contains `offset`; the module has been decoded, so lengths are sound. */
function sectionAt(source: Uint8Array, offset: number): string {
  let at = 8;
  while (at < source.length) {
    const name = NAMES[source[at++]!] ?? 'unknown';
    let length = 0;
    for (let shift = 0; at < source.length; shift += 7) {
      const byte = source[at++]!;
      length += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    if (offset < at + length) return `${name} section`;
    at += length;
  }
  return 'module';
}
