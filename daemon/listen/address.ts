/**
 * Client addresses as text, one spelling each: v4 dotted, v6 in its canonical short form, v4 over
 * v6 as v4.
 */

/** `bytes`: 4 or 16; anything else gives ''. */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) return '';
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const isMapped =
    view.getUint32(0) === 0 && view.getUint32(4) === 0 && view.getUint32(8) === 0xffff;
  if (isMapped) return bytes.subarray(12).join('.');
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(view.getUint16(i).toString(16));
  // The URL parser writes the canonical short form.
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1);
}

/** An address as the system spells it. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return '';
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}

/** Texts of v4 addresses by their 32 bits: most requests come on few connections. */
const texts = new Map<number, string>();
const TEXTS_MAX = 4_096;

export function formatAddressCached(bytes: Uint8Array): string {
  if (bytes.length !== 4) return formatAddress(bytes);
  const [a, b, c, d] = bytes as unknown as [number, number, number, number];
  const key = (a << 24) | (b << 16) | (c << 8) | d;
  let text = texts.get(key);
  if (text === undefined) {
    if (texts.size >= TEXTS_MAX) texts.clear();
    text = formatAddress(bytes);
    texts.set(key, text);
  }
  return text;
}
