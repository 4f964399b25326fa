/* A real interpreter: QuickJS, running a script that sorts, builds strings, and calls closures. */
#include <string.h>

#include "bench.h"
#include "quickjs.h"

static const char script[] =
  "(function () {"
  "  const heap = []; let seed = 7;"
  "  const next = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff);"
  "  for (let i = 0; i < 400; i++) heap.push({ key: next() % 1000, name: 'n' + i });"
  "  heap.sort((a, b) => a.key - b.key || (a.name < b.name ? -1 : 1));"
  "  const counts = new Map();"
  "  for (const { key } of heap) counts.set(key % 17, (counts.get(key % 17) || 0) + 1);"
  "  const fib = (n) => n < 2 ? n : fib(n - 1) + fib(n - 2);"
  "  let text = '';"
  "  for (const [key, count] of counts) text += key + ':' + count + ';';"
  "  const found = text.match(/\\d+:(\\d)/g).length;"
  "  return (text.length * 31 + found * 7 + fib(15) + heap[100].key) | 0;"
  "})()";

EXPORT("quickjs") unsigned quickjs(unsigned rounds) {
  unsigned sum = 0;
  JSRuntime *runtime = JS_NewRuntime();
  JSContext *context = JS_NewContext(runtime);
  for (unsigned i = 0; i < rounds; i++) {
    JSValue value = JS_Eval(context, script, sizeof script - 1, "bench.js", 0);
    int32_t number = -1;
    JS_ToInt32(context, &number, value);
    JS_FreeValue(context, value);
    sum = sum * 31 + (unsigned)number;
  }
  JS_FreeContext(context);
  JS_FreeRuntime(runtime);
  return sum;
}
