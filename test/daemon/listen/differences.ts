/**
 * What each engine is known to do otherwise than the contract says, by case. Measured, not wished:
 * a difference that goes away fails the suite as a new one does. See docs/rationale.md,
 * "Listeners".
 */

import type { EngineName } from '../../../daemon/listen/listener.ts';

/** A framing case: the status of the engine's own answer, `silent`, or `accepted`. */
function framing(answer: string, names: readonly string[]): [string, string][] {
  return names.map((name) => [`refused: ${name}`, answer]);
}

/** uWebSockets answers by itself, without code or request id, and misses some attacks. */
const UWEBSOCKETS = new Map<string, string>([
  ['pipelining', 'closes'],
  ['half-closed clients', 'closed at once'],
  ['unread responses', 'closed after about 10 s'],
  ['idle connections', 'closed after about 10 s'],
  ['slow second headers', 'closed after about 10 s'],
  ['header flood', 'own words'],
  ['100 before 413', 'asks for a body that it refuses'],
  ['absolute form', '505'],
  ['HTTP/1.0', '505'],
  ['high bytes in a request', 'lost'],
  ['connection: close is not repeated', 'to a client that asked for it'],
  ['empty line before a request', 'silent'],
  ['a PROXY preamble, binary', 'skipped'],
  ['chunk extension', 'not understood'],
  ['chunk quoted extension', 'not understood'],
  ['chunk trailer', 'not understood'],
  ...framing('400', [
    'length and coding', 'coding and length', 'list of lengths', 'negative length',
    'signed length', 'hexadecimal length', 'length with a space inside', 'length beyond numbers',
    'vertical tab before the coding', 'bare LF after a header', 'bare LF at the end',
    'folded header, space', 'folded header, tab', 'folded first header', 'folded length',
    'space before the colon', 'space before the colon of a coding', 'space in a name',
    'bracket in a name', 'high byte in a name', 'NUL in a name', 'no colon', 'NUL in a value',
    'control in a value', 'no Host', 'two Hosts', 'chunk size that is none',
    'chunk size with 0x', 'chunk size with sign', 'chunk size beyond numbers',
  ]),
  ...framing('505', [
    'bare LF everywhere', 'bare LF after the request line', 'NUL in the target',
    'space in the target', 'tab in the request line', 'two spaces', 'relative target',
    'other scheme', 'user in the authority', 'asterisk of a GET', 'no target',
    'lower-case version', 'later minor version', 'version 2', 'version 0.9', 'a TLS greeting',
    'a PROXY preamble, text', 'trailer that is none', 'trailer with bare LF',
  ]),
  ...framing('silent', [
    'bare CR in a value', 'bare CR after a header', 'CR CR LF', 'length hidden by an empty name',
    'no version', 'chunk longer than it says', 'chunk extension with bare LF',
    'chunk extension with a control',
  ]),
  ...framing('accepted', [
    'empty name', 'tab behind the coding', 'DEL in a value', 'chunk size G',
    'chunk size with space before',
    'no chunk size', 'chunk with bare LF', 'chunk size with bare LF', 'chunk data with bare LF',
  ]),
]);

export const DIFFERENCES: Record<EngineName, ReadonlyMap<string, string>> = {
  'node:http': new Map([
    ...framing('accepted', ['two spaces']),
    ['drain with requests answered at once', 'the first answer closes'],
    ['half-closed clients with many requests', 'half a request behind them ends all'],
  ]),
  'node:net': new Map(),
  uwebsockets: UWEBSOCKETS,
};
