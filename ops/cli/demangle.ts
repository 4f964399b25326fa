/**
 * Names of Rust functions as their authors wrote them: the legacy mangling, which is what rustc
 * still writes by default (`_ZN4core9panicking9panic_fmt17h9ec1c8305a7da9aeE`).
 */

const ESCAPES: Readonly<Record<string, string>> = {
  SP: '@', BP: '*', RF: '&', LT: '<', GT: '>', LP: '(', RP: ')', C: ',',
};

function unescape(part: string): string {
  const text = part.startsWith('_$') ? part.slice(1) : part;
  return text
    .replaceAll(/\$(u[0-9a-f]{1,6}|[A-Z]{1,2})\$/g, (whole, code: string) => {
      if (!code.startsWith('u')) return ESCAPES[code] ?? whole;
      const point = Number.parseInt(code.slice(1), 16);
      // A name in a guest's module is whatever the guest says: no control characters.
      return point >= 0x20 && point <= 0x10ffff && point !== 0x7f && (point < 0x80 || point > 0x9f)
        ? String.fromCodePoint(point) : whole;
    })
    .replaceAll('..', '::');
}

/** The name as it is when it is not mangled, or not in this way. */
export function demangle(name: string): string {
  const match = /^_ZN(.*)E(?:\.llvm\.\w+)?$/.exec(name);
  if (match === null) return name;
  let rest = match[1] ?? '';
  const parts: string[] = [];
  while (rest !== '') {
    const digits = /^\d{1,4}/.exec(rest)?.[0];
    if (digits === undefined) return name;
    const length = Number(digits);
    const part = rest.slice(digits.length, digits.length + length);
    if (part.length !== length || length === 0) return name;
    parts.push(part);
    rest = rest.slice(digits.length + length);
  }
  if (/^h[0-9a-f]{16}$/.test(parts.at(-1) ?? '')) parts.pop();
  return parts.length === 0 ? name : parts.map(unescape).join('::');
}
