/* n-body: floating point in a tight loop. */
#include "bench.h"

struct body { double x, y, z, vx, vy, vz, mass; };

static struct body bodies[5];

static void reset(void) {
  for (int i = 0; i < 5; i++) {
    struct body *b = &bodies[i];
    b->x = i * 3.1 - 4; b->y = i * i * 0.7 - 2; b->z = 0.3 * i;
    b->vx = 0.01 * i; b->vy = 0.02 * (3 - i); b->vz = 0.005 * i;
    b->mass = i == 0 ? 39.47 : 0.03 / i;
  }
}

static void advance(double dt) {
  for (int i = 0; i < 5; i++) {
    struct body *a = &bodies[i];
    for (int j = i + 1; j < 5; j++) {
      struct body *b = &bodies[j];
      double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
      double square = dx * dx + dy * dy + dz * dz + 0.01;
      double magnitude = dt / (square * __builtin_sqrt(square));
      a->vx -= dx * b->mass * magnitude; a->vy -= dy * b->mass * magnitude;
      a->vz -= dz * b->mass * magnitude;
      b->vx += dx * a->mass * magnitude; b->vy += dy * a->mass * magnitude;
      b->vz += dz * a->mass * magnitude;
    }
  }
  for (int i = 0; i < 5; i++) {
    struct body *b = &bodies[i];
    b->x += dt * b->vx; b->y += dt * b->vy; b->z += dt * b->vz;
  }
}

EXPORT("nbody") unsigned nbody(unsigned rounds) {
  reset();
  for (unsigned i = 0; i < rounds * 1000; i++) advance(0.001);
  return (unsigned)(bodies[0].x * 1e6) ^ (unsigned)(bodies[3].vy * 1e6);
}
