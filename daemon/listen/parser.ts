/**
 * A strict parser of HTTP/1 requests: heads from text, chunked bodies from bytes. It takes what
 * RFC 9112 allows a client to send, and of what the RFC lets a server forgive it forgives one
 * thing, empty lines before a request. Whatever could be read in two ways is refused.
 */

import { emptyFacts, methodFault, noteHeader, NOT_VALUE, resetFacts } from './head.ts';
import type { HeadFacts } from './head.ts';

/** What a head says; one object per connection or listener, overwritten by each parse. */
export interface Head {
  method: string;
  target: string;
  /** 1 or 0, of HTTP/1. */
  minor: number;
  headers: string[];
  readonly facts: HeadFacts;
}

export function emptyHead(): Head {
  return { method: '', target: '', minor: 1, headers: [], facts: emptyFacts() };
}

const CR = 13;
const LF = 10;
const COLON = 58;
const SEMICOLON = 59;
const SPACE = 32;
const TAB = 9;

/** 1 for the characters of a token, by code. */
const TOKEN_CHARACTER = new Uint8Array(128);
for (const c of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
  TOKEN_CHARACTER[c.charCodeAt(0)] = 1;
}

const METHODS: ReadonlySet<string> = new Set([
  'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS',
]);

/** Header names as sent and in lower case: the usual ones are neither made nor kept twice. */
const names = new Map<string, string>();
const NAMES_MAX = 2_000;
const CACHED_NAME_LENGTH_MAX = 64;

function lowerName(name: string): string {
  let lower = names.get(name);
  if (lower === undefined) {
    lower = name.toLowerCase();
    if (names.size < NAMES_MAX && name.length <= CACHED_NAME_LENGTH_MAX) names.set(name, lower);
  }
  return lower;
}

const BAD_REQUEST_LINE = 'the request line is not a method, a target and HTTP/1.1';

/**
 * Parses the head that is `text` from `start` to `end`, its empty line included; one character per
 * byte. Returns '' or what is wrong.
 */
export function parseHead(text: string, start: number, end: number, head: Head): string {
  const lineEnd = text.indexOf('\r\n', start);
  const space = text.indexOf(' ', start);
  const targetEnd = lineEnd - 9;
  if (space < 0 || space + 1 >= targetEnd) return BAD_REQUEST_LINE;
  if (!text.startsWith(' HTTP/1.', targetEnd)) return BAD_REQUEST_LINE;
  const minor = text.charCodeAt(lineEnd - 1) - 48;
  if (minor !== 0 && minor !== 1) return BAD_REQUEST_LINE;
  const method = text.slice(start, space);
  if (!METHODS.has(method)) {
    const fault = methodFault(method);
    if (fault !== '') return fault;
  }
  head.method = method;
  head.target = text.slice(space + 1, targetEnd);
  head.minor = minor;
  head.headers = [];
  resetFacts(head.facts);
  return parseHeaders(text, lineEnd + 2, end - 2, head);
}

function parseHeaders(text: string, start: number, end: number, head: Head): string {
  const { headers, facts } = head;
  let at = start;
  while (at < end) {
    let colon = at;
    let code = text.charCodeAt(colon);
    while (code < 128 && TOKEN_CHARACTER[code] === 1) {
      colon += 1;
      code = text.charCodeAt(colon);
    }
    if (code !== COLON || colon === at) return nameFault(text, at, colon);
    const lineEnd = text.indexOf('\r\n', colon);
    let from = colon + 1;
    let to = lineEnd;
    while (from < to && isBlank(text.charCodeAt(from))) from += 1;
    while (to > from && isBlank(text.charCodeAt(to - 1))) to -= 1;
    const value = text.slice(from, to);
    if (NOT_VALUE.test(value)) return 'a header value holds a control character';
    const name = lowerName(text.slice(at, colon));
    headers.push(name, value);
    // A tab around it is allowed, and a known way to hide it from the next server.
    if (name === 'transfer-encoding' && text.slice(colon, lineEnd).includes('\t')) {
      return 'Transfer-Encoding other than chunked';
    }
    noteHeader(name, value, facts);
    at = lineEnd + 2;
  }
  if (head.minor === 0 && facts.chunked) facts.fault ||= 'Transfer-Encoding in HTTP/1.0';
  return facts.fault;
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

function nameFault(text: string, at: number, colon: number): string {
  if (isBlank(text.charCodeAt(at))) return 'a header line begins with a space (folded header)';
  if (text.charCodeAt(colon) === COLON) return 'a header has no name';
  return 'a header name holds a character that is not allowed, or no colon follows it';
}

/**
 * Looks at bytes that are no whole head yet. '' or why they will never be one: so that nobody waits
 * for the end of what has gone wrong at its beginning.
 */
export function unfinishedFault(bytes: Uint8Array, from: number): string {
  const first = bytes[0] as number;
  if (from === 0 && (first > 127 || TOKEN_CHARACTER[first] !== 1) && first !== CR) {
    return BAD_REQUEST_LINE;
  }
  for (let i = bytes.indexOf(LF, from); i >= 0; i = bytes.indexOf(LF, i + 1)) {
    if (i === 0 || bytes[i - 1] !== CR) return 'a line ends with LF alone';
  }
  return '';
}

/** Of one line, and of all lines of a body: more is somebody at play. */
const CHUNK_EXTENSION_LINE_BYTES_MAX = 1_024;
const CHUNK_EXTENSION_BYTES_MAX = 16 * 1_024;
const TRAILER_BYTES_MAX = 8 * 1_024;
/** Enough for any body that is allowed, and far from what a number can hold. */
const CHUNK_DIGITS_MAX = 12;

const SIZE = 0;
const EXTENSION = 1;
const SIZE_LF = 2;
const DATA = 3;
const DATA_CR = 4;
const DATA_LF = 5;
const TRAILER_START = 6;
const TRAILER = 7;
const TRAILER_LF = 8;
const END_LF = 9;
const DONE = 10;

/**
 * Takes a chunked body apart, however it is cut into pieces.
 *
 *   size ─▶ extension ─▶ LF ─▶ data ─▶ CR LF ─▶ size ... 0 ─▶ trailers ─▶ done
 */
export class ChunkedReader {
  #state = SIZE;
  #digits = 0;
  /** The extension or trailer that is being read. */
  #text = '';
  #extensionBytes = 0;
  #trailerBytes = 0;
  /** Of the current chunk. */
  #left = 0;
  /** '' or what is wrong. */
  fault = '';

  get isDone(): boolean {
    return this.#state === DONE;
  }

  /**
   * Reads on from `at`, giving data to `take`, and returns where it stopped: behind the body when
   * `isDone`, otherwise at the end of the bytes. `take` returns false to stop reading for good.
   */
  read(bytes: Uint8Array, at: number, take: (piece: Uint8Array) => boolean): number {
    let i = at;
    while (i < bytes.length && this.#state !== DONE && this.fault === '') {
      if (this.#state === DATA) {
        const end = Math.min(bytes.length, i + this.#left);
        if (!take(bytes.subarray(i, end))) return i;
        this.#left -= end - i;
        i = end;
        if (this.#left === 0) this.#state = DATA_CR;
      } else {
        this.#step(bytes[i] as number);
        i += 1;
      }
    }
    return i;
  }

  #step(byte: number): void {
    switch (this.#state) {
      case SIZE:
        this.#size(byte);
        break;
      case EXTENSION:
        this.#extension(byte);
        break;
      case SIZE_LF:
        this.#expect(byte, LF, this.#left > 0 ? DATA : TRAILER_START, 'a chunk size line');
        this.#digits = 0;
        break;
      case DATA_CR:
        this.#expect(byte, CR, DATA_LF, 'a chunk');
        break;
      case DATA_LF:
        this.#expect(byte, LF, SIZE, 'a chunk');
        break;
      case TRAILER_START:
      case TRAILER:
        this.#trailers(byte);
        break;
      case TRAILER_LF:
        this.#expect(byte, LF, TRAILER_START, 'a trailer');
        break;
      case END_LF:
        this.#expect(byte, LF, DONE, 'the body');
        break;
      default:
        throw new Error(`the chunked reader is in no state but ${this.#state}`);
    }
  }

  #expect(byte: number, wanted: number, next: number, what: string): void {
    if (byte === wanted) this.#state = next;
    else this.fault = `${what} does not end with CR LF where it should`;
  }

  #size(byte: number): void {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      this.#left = this.#left * 16 + digit;
      this.#digits += 1;
      if (this.#digits > CHUNK_DIGITS_MAX) this.fault = 'a chunk size has too many digits';
    } else if (this.#digits === 0) {
      this.fault = 'a chunk size is not a hexadecimal number';
    } else if (byte === CR) {
      this.#state = SIZE_LF;
    } else if (byte === SEMICOLON) {
      this.#state = EXTENSION;
      this.#text = ';';
    } else {
      this.fault = 'a chunk size is not a hexadecimal number';
    }
  }

  /** Extensions mean nothing here; they are only kept from being anything else. */
  #extension(byte: number): void {
    this.#extensionBytes += 1;
    if (byte === CR) {
      if (!EXTENSIONS.test(this.#text)) this.fault = 'a chunk extension is malformed';
      this.#text = '';
      this.#state = SIZE_LF;
    } else if (!isText(byte)) {
      this.fault = 'a chunk extension holds a control character';
    } else if (this.#text.length >= CHUNK_EXTENSION_LINE_BYTES_MAX) {
      this.fault = 'a chunk extension is too long';
    } else if (this.#extensionBytes > CHUNK_EXTENSION_BYTES_MAX) {
      this.fault = 'the chunk extensions are too long';
    } else {
      this.#text += String.fromCharCode(byte);
    }
  }

  /** Trailers are checked and dropped. */
  #trailers(byte: number): void {
    this.#trailerBytes += 1;
    if (this.#trailerBytes > TRAILER_BYTES_MAX) {
      this.fault = 'the trailers are too long';
    } else if (byte !== CR) {
      if (isText(byte)) this.#text += String.fromCharCode(byte);
      else this.fault = 'a trailer holds a control character';
      this.#state = TRAILER;
    } else if (this.#state === TRAILER_START) {
      this.#state = END_LF;
    } else {
      if (!TRAILER_LINE.test(this.#text)) this.fault = 'a trailer is not a header';
      if (FRAMING.test(this.#text)) this.fault = 'a trailer tells where the body ends';
      this.#text = '';
      this.#state = TRAILER_LF;
    }
  }
}

const TRAILER_LINE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+:/;
/** RFC 9110, 6.5.1: such fields must not be trailers; smuggled requests have them. */
const FRAMING = /^(?:content-length|transfer-encoding):/i;
/** RFC 9112, 7.1.1, without its "bad whitespace", which nobody sends in good faith. */
const WORD = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const QUOTED = '"(?:[^"\\\\]|\\\\.)*"';
const EXTENSIONS = new RegExp(`^(?:;${WORD}(?:=(?:${WORD}|${QUOTED}))?)*$`);

function isText(byte: number): boolean {
  return byte === TAB || (byte >= SPACE && byte !== 127);
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
