/**
 * Names of Rust functions for people: the legacy mangling, which rustc uses by default, undone.
 *
 *   _ZN 4core 9panicking 5panic 17h<16 hex digits> E   →   core::panicking::panic
 *
 * The hash at the end tells it from C++, whose names look alike and are left as they are.
 */

/** As the compiler makes them: longer names are left as they are. */
const MANGLED_MAX = 2_048;
const HASH = /^h[0-9a-f]{16}$/;
/** Under a module's name V8 writes `module.function`; LLVM may append `.llvm.123`. */
const MANGLED = /^(.*\.)?_?_ZN(\d.*)E(\.llvm\.\d+)?$/;

const ESCAPES: Readonly<Record<string, string>> = {
  SP: '@', BP: '*', RF: '&', LT: '<', GT: '>', LP: '(', RP: ')', C: ',',
};

/** Null if `text` is no sequence of lengths and parts. */
function partsOf(text: string): string[] | null {
  const parts: string[] = [];
  let rest = text;
  while (rest !== '') {
    const digits = /^\d{1,4}/.exec(rest)?.[0];
    if (digits === undefined) return null;
    const part = rest.slice(digits.length, digits.length + Number(digits));
    if (part === '' || part.length !== Number(digits)) return null;
    parts.push(part);
    rest = rest.slice(digits.length + part.length);
  }
  return parts;
}

/** `$u7b$` is a character by its number, `..` stands for `::`. */
function unescaped(part: string): string {
  const plain = part.startsWith('_$') ? part.slice(1) : part;
  return plain
    .replaceAll('..', '::')
    .replaceAll(/\$([A-Z]{1,2})\$/g, (escape, name: string) => ESCAPES[name] ?? escape)
    .replaceAll(/\$u([0-9a-f]{2,6})\$/g, (escape, digits: string) => {
      const point = Number.parseInt(digits, 16);
      // No control characters: these names are shown in terminals.
      return point >= 0x20 && point !== 0x7f && point <= 0xd7ff
        ? String.fromCodePoint(point) : escape;
    });
}

/** The name in Rust's own words; any other name as it is. */
export function demangled(name: string): string {
  if (name.length > MANGLED_MAX) return name;
  const match = MANGLED.exec(name);
  if (match === null) return name;
  const [, module = '', path = ''] = match;
  const parts = partsOf(path);
  const hash = parts?.pop();
  if (parts === null || parts.length === 0 || hash === undefined || !HASH.test(hash)) return name;
  return module + parts.map(unescaped).join('::');
}
