/** Names of Rust functions are shown as in the source, all others as they are. */

import t from 'tap';
import { demangled } from '../../hostcalls/demangle.ts';

const HASH = '17h0123456789abcdefE';

const ROWS: readonly (readonly [mangled: string, shown: string])[] = [
  [`_ZN4core9panicking5panic${HASH}`, 'core::panicking::panic'],
  [`_ZN3std9panicking19begin_panic_handler28_$u7b$$u7b$closure$u7d$$u7d$${HASH}`,
    'std::panicking::begin_panic_handler::{{closure}}'],
  [`_ZN60_$LT$alloc..string..String$u20$as$u20$core..fmt..Display$GT$3fmt${HASH}`,
    '<alloc::string::String as core::fmt::Display>::fmt'],
  [`_ZN50_$LT$$RF$mut$u20$T$u20$as$u20$core..fmt..Write$GT$3fmt${HASH}`,
    '<&mut T as core::fmt::Write>::fmt'],
  [`hello.wasm._ZN5hello3run${HASH}`, 'hello.wasm.hello::run'],
  [`_ZN5hello3run${HASH}.llvm.123`, 'hello::run'],
  // C++, and what only begins like Rust.
  ['_ZN3foo3barEv', '_ZN3foo3barEv'],
  ['_ZNSt6vectorIiSaIiEE9push_backEOi', '_ZNSt6vectorIiSaIiEE9push_backEOi'],
  ['_ZN3foo3bar17hnothexadecimal00E', '_ZN3foo3bar17hnothexadecimal00E'],
  [`_ZN9foo${HASH}`, `_ZN9foo${HASH}`],
  [`_ZN0${HASH}`, `_ZN0${HASH}`],
  [`_ZN${HASH}`, `_ZN${HASH}`],
  // Nothing that moves a terminal's cursor comes out.
  [`_ZN6$u1b$x${HASH}`, '$u1b$x'],
  ['run', 'run'],
  ['', ''],
];

t.test('legacy names of Rust', async (t) => {
  for (const [mangled, shown] of ROWS) t.equal(demangled(mangled), shown, shown);
});

t.test('a hostile name costs little', async (t) => {
  const digits = `_ZN${'1a'.repeat(2_000)}E`;
  t.equal(demangled(digits), digits);
  const points = `${'._ZN1'.repeat(400)}E`;
  t.equal(demangled(points), points);
  const long = `_ZN${'9'.repeat(100_000)}E`;
  t.equal(demangled(long), long);
  const dots = `${'.'.repeat(4_000)}_ZN`;
  t.equal(demangled(dots), dots);
});
