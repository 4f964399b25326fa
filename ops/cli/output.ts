/** What commands print: JSON when asked for, else tables and lines that no terminal obeys. */

import { escapeControls } from '../escape.ts';

export interface JsonFlag {
  readonly json?: boolean;
}

/** Rows with columns as wide as their widest cell. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Cells that tenants have chosen may hold anything. */
export function safeTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return table(head, rows.map((row) => row.map(escapeControls)));
}

/** A result: on stdout, as it is or as JSON. */
export function print(value: unknown, flags: JsonFlag, text: () => string): void {
  process.stdout.write(`${flags.json === true ? JSON.stringify(value) : text()}\n`);
}

/** Something done: a line on stderr, or JSON on stdout. */
export function done(value: unknown, flags: JsonFlag, text: string): void {
  if (flags.json === true) process.stdout.write(`${JSON.stringify(value)}\n`);
  else process.stderr.write(`${escapeControls(text)}\n`);
}
