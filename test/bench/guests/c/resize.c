/* Image resize: a bilinear resample of an RGBA picture, in integers. */
#include "bench.h"

enum { WIDTH = 320, HEIGHT = 240, OUT_WIDTH = 500, OUT_HEIGHT = 150 };

static unsigned char source[WIDTH * HEIGHT * 4];
static unsigned char target[OUT_WIDTH * OUT_HEIGHT * 4];

static void resize(void) {
  for (int y = 0; y < OUT_HEIGHT; y++) {
    int sy = (int)(((long long)y * (HEIGHT - 1) << 16) / (OUT_HEIGHT - 1));
    int fy = sy & 0xffff, row = sy >> 16, below = row + 1 < HEIGHT ? row + 1 : row;
    for (int x = 0; x < OUT_WIDTH; x++) {
      int sx = (int)(((long long)x * (WIDTH - 1) << 16) / (OUT_WIDTH - 1));
      int fx = sx & 0xffff, column = sx >> 16, right = column + 1 < WIDTH ? column + 1 : column;
      for (int c = 0; c < 4; c++) {
        long long a = source[(row * WIDTH + column) * 4 + c];
        long long b = source[(row * WIDTH + right) * 4 + c];
        long long d = source[(below * WIDTH + column) * 4 + c];
        long long e = source[(below * WIDTH + right) * 4 + c];
        long long top = (a << 16) + (b - a) * fx, bottom = (d << 16) + (e - d) * fx;
        target[(y * OUT_WIDTH + x) * 4 + c] = (unsigned char)((top + (((bottom - top) * fy) >> 16)) >> 16);
      }
    }
  }
}

EXPORT("resize") unsigned resize_rounds(unsigned rounds) {
  unsigned sum = 0;
  for (unsigned i = 0; i < sizeof source; i++) source[i] = (unsigned char)(i * 31 ^ (i >> 7));
  for (unsigned i = 0; i < rounds; i++) {
    source[i % sizeof source] ^= 1;
    resize();
    for (unsigned j = 0; j < sizeof target; j += 97) sum = sum * 31 + target[j];
  }
  return sum;
}
