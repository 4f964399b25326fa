// AssemblyScript guests of the fuel bench: strings and maps (with the runtime's collector), and a mandelbrot.

export function words(rounds: i32): i32 {
  let sum = 0;
  for (let round = 0; round < rounds; round++) {
    const counts = new Map<string, i32>();
    let seed: u32 = 99;
    for (let i = 0; i < 3000; i++) {
      seed = seed * 1664525 + 1013904223;
      const word = 'word' + ((seed >> 20) % 300).toString();
      counts.set(word, counts.has(word) ? counts.get(word) + 1 : 1);
    }
    const keys = counts.keys().sort();
    for (let i = 0; i < keys.length; i++) sum = sum * 31 + counts.get(keys[i]) + keys[i].length;
  }
  return sum;
}

export function mandelbrot(rounds: i32): i32 {
  let sum = 0;
  for (let round = 0; round < rounds; round++) {
    for (let y = 0; y < 64; y++) {
      for (let x = 0; x < 64; x++) {
        const cx: f64 = <f64>x / 24.0 - 2.0, cy: f64 = <f64>y / 26.0 - 1.2;
        let zx: f64 = 0, zy: f64 = 0, steps = 0;
        while (steps < 200 && zx * zx + zy * zy < 4.0) {
          const next = zx * zx - zy * zy + cx;
          zy = 2.0 * zx * zy + cy;
          zx = next;
          steps++;
        }
        sum = sum * 31 + steps;
      }
    }
  }
  return sum;
}
