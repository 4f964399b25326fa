/**
 * Source lines from DWARF: runs the line number programs of `.debug_line` (versions 2 to 5) and
 * answers which line each of a few addresses belongs to. Addresses count from the first byte of the
 * code section's content, as the conventions of WebAssembly's tools have it.
 *
 * A program yields rows in the order of rising addresses; a row's line holds up to the next row:
 *
 *   sequence:  row(address, file, line, column) ─▶ row ─▶ … ─▶ end_sequence
 */

import type { SourceLine } from '../../contract/build.ts';
import { ByteReader } from './bytes.ts';

/** The sections that are read, where they are there. */
export interface DebugSections {
  readonly line: Uint8Array;
  readonly str: Uint8Array | null;
  readonly lineStr: Uint8Array | null;
}

/** Longer paths are cut at the front: the file's name is at the end. */
const SOURCE_LENGTH_MAX = 256;
const FILES_MAX = 100_000;
const FORMATS_MAX = 16;
const TEXT_BYTES_MAX = 1_024;
const SPECIAL_FIRST = 13;
/** What linkers write as the address of a function that they left out: 0, or the highest. */
const TOMBSTONE = 0xffff_fffe;

/** Content types and forms of the headers of version 5. */
const CONTENT_PATH = 1;
const CONTENT_DIRECTORY = 2;
const FORM_DATA2 = 0x05;
const FORM_DATA4 = 0x06;
const FORM_DATA8 = 0x07;
const FORM_STRING = 0x08;
const FORM_BLOCK = 0x09;
const FORM_DATA1 = 0x0b;
const FORM_STRP = 0x0e;
const FORM_UDATA = 0x0f;
const FORM_DATA16 = 0x1e;
const FORM_LINE_STRP = 0x1f;

/** A string where it lies; it is read when somebody asks: a table may name one a million times. */
interface Text {
  readonly section: Uint8Array | null;
  readonly at: number;
}

interface FileEntry {
  readonly name: Text;
  readonly directory: number;
}

interface Header {
  readonly minimumLength: number;
  readonly lineBase: number;
  readonly lineRange: number;
  readonly opcodeBase: number;
  readonly operandCounts: readonly number[];
  readonly directories: readonly Text[];
  readonly files: readonly FileEntry[];
  /** Files count from 1 before version 5. */
  readonly firstFile: number;
}

const NOTHING: Text = { section: null, at: 0 };

/** Cut off behind what is shown of a path; '' for what is no string. Not UTF-8 becomes U+FFFD. */
function textOf({ section, at }: Text): string {
  if (section === null || at >= section.length) return '';
  const window = section.subarray(at, at + TEXT_BYTES_MAX);
  const nul = window.indexOf(0);
  return new TextDecoder().decode(nul < 0 ? window : window.subarray(0, nul));
}

/** A value of a header's entry: a string stays where it lies. */
function formValue(
  reader: ByteReader, form: number, wide: boolean, sections: DebugSections,
): Text | number {
  const offset = (): number => (wide ? reader.u64() : reader.u32());
  switch (form) {
    case FORM_STRING: return { section: reader.bytes, at: reader.skipString() };
    case FORM_STRP: return { section: sections.str, at: offset() };
    case FORM_LINE_STRP: return { section: sections.lineStr, at: offset() };
    case FORM_UDATA: return reader.uleb();
    case FORM_DATA1: return reader.u8();
    case FORM_DATA2: return reader.u16();
    case FORM_DATA4: return reader.u32();
    case FORM_DATA8: return reader.u64();
    case FORM_DATA16: return reader.skip(16);
    case FORM_BLOCK: return reader.skip(reader.uleb());
    default: throw new RangeError(`form ${form} in a line table`);
  }
}

/** Directories or files of a header of version 5. */
function entries(reader: ByteReader, wide: boolean, sections: DebugSections): FileEntry[] {
  const formats: [number, number][] = [];
  for (let left = reader.u8(); left > 0; left -= 1) formats.push([reader.uleb(), reader.uleb()]);
  const count = reader.uleb();
  const isOdd = formats.length > FORMATS_MAX || (count > 0 && formats.length === 0);
  if (isOdd || count > FILES_MAX) throw new RangeError('files');
  const found: FileEntry[] = [];
  for (let i = 0; i < count; i += 1) {
    let name = NOTHING;
    let directory = 0;
    for (const [content, form] of formats) {
      const value = formValue(reader, form, wide, sections);
      if (typeof value === 'object') {
        if (content === CONTENT_PATH) name = value;
      } else if (content === CONTENT_DIRECTORY) directory = value;
    }
    found.push({ name, directory });
  }
  return found;
}

/** Directories and files of a header before version 5. Directory 0 is the compiler's own. */
function oldEntries(reader: ByteReader): Pick<Header, 'directories' | 'files'> {
  const directories = [NOTHING];
  const next = (): Text | null => {
    const at = reader.skipString();
    return reader.at === at + 1 ? null : { section: reader.bytes, at };
  };
  for (let name = next(); name !== null; name = next()) {
    if (directories.push(name) > FILES_MAX) throw new RangeError('directories');
  }
  const files: FileEntry[] = [];
  for (let name = next(); name !== null; name = next()) {
    const directory = reader.uleb();
    reader.uleb(); // Time of change.
    reader.uleb(); // Length.
    if (files.push({ name, directory }) > FILES_MAX) throw new RangeError('files');
  }
  return { directories, files };
}

function readHeader(unit: ByteReader, wide: boolean, sections: DebugSections): Header {
  const version = unit.u16();
  if (version < 2 || version > 5) throw new RangeError(`version ${version} of a line table`);
  if (version === 5) unit.skip(2); // Sizes of addresses and segment selectors.
  const length = wide ? unit.u64() : unit.u32();
  const program = unit.at + length;
  const minimumLength = unit.u8();
  if (version >= 4) unit.u8(); // Operations per instruction: WebAssembly has one.
  unit.u8(); // Whether rows begin as statements.
  const lineBase = unit.i8();
  const lineRange = unit.u8();
  const opcodeBase = unit.u8();
  if (lineRange === 0 || opcodeBase === 0) throw new RangeError('an impossible line table');
  const operandCounts = [0];
  for (let i = 1; i < opcodeBase; i += 1) operandCounts.push(unit.u8());
  let names: Pick<Header, 'directories' | 'files'>;
  if (version === 5) {
    const directories = entries(unit, wide, sections).map(({ name }) => name);
    names = { directories, files: entries(unit, wide, sections) };
  } else {
    names = oldEntries(unit);
  }
  if (program < unit.at || program > unit.end) throw new RangeError('a program outside its unit');
  unit.at = program;
  return {
    minimumLength, lineBase, lineRange, opcodeBase, operandCounts, ...names,
    firstFile: version === 5 ? 0 : 1,
  };
}

function sourceOf(header: Header, file: number): string {
  const entry = header.files[file - header.firstFile];
  if (entry === undefined) return '';
  const name = textOf(entry.name);
  const directory = textOf(header.directories[entry.directory] ?? NOTHING);
  const isWhole = directory === '' || directory === '.' || name.startsWith('/');
  const path = isWhole ? name : `${directory}/${name}`;
  return path.length <= SOURCE_LENGTH_MAX ? path : `…${path.slice(1 - SOURCE_LENGTH_MAX)}`;
}

/** One unit's program; fills in the lines of the addresses that it knows. */
class Program {
  readonly #reader: ByteReader;
  readonly #header: Header;
  readonly #found: Map<number, SourceLine>;
  /** The addresses asked for, rising. */
  readonly #asked: readonly number[];
  #address = 0;
  #file = 1;
  #line = 1;
  #column = 0;
  /** The row before, whose line holds up to the next; `#rowAt` is -1 when there is none. */
  #rowAt = -1;
  #rowFile = 1;
  #rowLine = 1;
  #rowColumn = 0;
  /** The first row of the sequence lies where a linker puts what it left out. */
  #isDead = false;

  constructor(
    reader: ByteReader, header: Header, asked: readonly number[], found: Map<number, SourceLine>,
  ) {
    this.#reader = reader;
    this.#header = header;
    this.#asked = asked;
    this.#found = found;
  }

  run(): void {
    const reader = this.#reader;
    const { opcodeBase, lineBase, lineRange, minimumLength } = this.#header;
    while (reader.at < reader.end) {
      const opcode = reader.u8();
      if (opcode >= opcodeBase) {
        const adjusted = opcode - opcodeBase;
        this.#address += Math.floor(adjusted / lineRange) * minimumLength;
        this.#line += lineBase + (adjusted % lineRange);
        this.#row();
      } else if (opcode === 0) {
        this.#extended();
      } else {
        this.#standard(opcode);
      }
    }
  }

  #extended(): void {
    const reader = this.#reader;
    const length = reader.uleb();
    if (length === 0) return;
    const next = reader.at + length;
    const opcode = reader.u8();
    if (opcode === 1) {
      this.#row();
      this.#reset();
    } else if (opcode === 2) {
      this.#address = length - 1 === 8 ? reader.u64() : reader.u32();
    }
    // Further extended opcodes say nothing that is asked for here.
    reader.at = next;
    if (next > reader.end) throw new RangeError('past the end');
  }

  #standard(opcode: number): void {
    const reader = this.#reader;
    const { lineRange, opcodeBase, minimumLength, operandCounts } = this.#header;
    if (opcode >= SPECIAL_FIRST) {
      for (let left = operandCounts[opcode] ?? 0; left > 0; left -= 1) reader.uleb();
      return;
    }
    switch (opcode) {
      case 1: return this.#row();
      case 2: this.#address += reader.uleb() * minimumLength; return;
      case 3: this.#line += reader.sleb(); return;
      case 4: this.#file = reader.uleb(); return;
      case 5: this.#column = reader.uleb(); return;
      case 8:
        this.#address += Math.floor((255 - opcodeBase) / lineRange) * minimumLength;
        return;
      case 9: this.#address += reader.u16(); return;
      case 12: reader.uleb(); return; // The instruction set.
      default: // Statements, blocks, prologues: nothing of them is asked for.
    }
  }

  #row(): void {
    if (this.#rowAt < 0) this.#isDead = this.#address === 0 || this.#address >= TOMBSTONE;
    else if (!this.#isDead && this.#address > this.#rowAt) this.#settle(this.#address);
    this.#rowAt = this.#address;
    this.#rowFile = this.#file;
    this.#rowLine = this.#line;
    this.#rowColumn = this.#column;
  }

  /** The row before holds up to `end`. Line 0 means that no line is to blame. */
  #settle(end: number): void {
    const asked = this.#asked;
    if (this.#rowLine <= 0 || end <= asked[0]! || this.#rowAt > asked[asked.length - 1]!) return;
    for (const address of asked) {
      // The first row counts, so that a table that says everything twice costs no more.
      if (address < this.#rowAt || address >= end || this.#found.has(address)) continue;
      const source = sourceOf(this.#header, this.#rowFile);
      if (source === '') continue;
      this.#found.set(address, { source, line: this.#rowLine, column: this.#rowColumn });
    }
  }

  #reset(): void {
    this.#address = 0;
    this.#file = 1;
    this.#line = 1;
    this.#column = 0;
    this.#rowAt = -1;
  }
}

/**
 * The lines of these addresses, of those that the table knows. A unit that cannot be read ends the
 * search, since where the next one begins is then a guess; what was found before it stays.
 */
export function linesOf(
  sections: DebugSections, addresses: readonly number[],
): Map<number, SourceLine> {
  const found = new Map<number, SourceLine>();
  const asked = [...new Set(addresses)].toSorted((a, b) => a - b);
  if (asked.length === 0) return found;
  const reader = new ByteReader(sections.line);
  try {
    while (reader.at < reader.end) {
      let length = reader.u32();
      const wide = length === 0xffff_ffff;
      if (wide) length = reader.u64();
      const from = reader.skip(length);
      const unit = new ByteReader(sections.line, from, from + length);
      new Program(unit, readHeader(unit, wide, sections), asked, found).run();
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return found;
}
