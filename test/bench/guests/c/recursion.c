/* Recursion: nothing but calls, the worst case for metering. */
#include "bench.h"

static unsigned fibonacci(unsigned n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

EXPORT("recursion") unsigned recursion(unsigned rounds) {
  unsigned sum = 0;
  for (unsigned i = 0; i < rounds; i++) sum += fibonacci(22 + (i & 1));
  return sum;
}
