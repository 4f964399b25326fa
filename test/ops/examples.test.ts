/** Every command's help ends with examples, which use commands and options that there are. */

import type { Command } from 'commander';
import t from 'tap';

import { SETTING_NAMES } from '../../daemon/config.ts';
import { EXAMPLES } from '../../ops/cli/examples.ts';
import { createProgram } from '../../ops/cli/program.ts';
import { SETTING_MEANINGS } from '../../contract/settings.ts';

const program = createProgram();

function walk(command: Command, path = ''): [path: string, command: Command][] {
  return [[path, command], ...command.commands.flatMap((sub) =>
    walk(sub, path === '' ? sub.name() : `${path} ${sub.name()}`))];
}

const nodes = walk(program);

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (part) => {
    text += part;
  } });
  command.outputHelp();
  return text;
}

/** The command that the words of an example lead to; options before it are the program's. */
function commandOf(words: readonly string[]): { command: Command; path: string } {
  let command = program;
  let path = '';
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    if (word.startsWith('--')) {
      at += 1;
      continue;
    }
    const next = command.commands.find((sub) => sub.name() === word);
    if (next === undefined) break;
    command = next;
    path = path === '' ? word : `${path} ${word}`;
  }
  return { command, path };
}

t.test('each command has examples in its help', async (t) => {
  t.same(nodes.map(([path]) => path).toSorted(), Object.keys(EXAMPLES).toSorted());
  for (const [path, command] of nodes) {
    t.match(helpOf(command), /\nExamples:\n {2}\S/, path);
  }
});

t.test('examples use what there is, the command itself first of all', async (t) => {
  for (const [path, examples] of Object.entries(EXAMPLES)) {
    const used = new Set<string>();
    for (const example of examples) {
      // Words after two spaces or a comment are for the reader.
      for (const part of example.split(/&&|\||<|>|"\$\(/)) {
        const words = (part.split(/\s{2,}/)[0] ?? '').trim().split(' ');
        if (words[0] === '(wardian') words[0] = 'wardian';
        if (words[0] !== 'wardian') continue;
        const found = commandOf(words.slice(1));
        used.add(found.path);
        if (found.path !== path && found.path.startsWith(`${path} `)) used.add(path);
        const known = [...found.command.options, ...program.options].map(({ long }) => long);
        for (const word of words.filter((w) => w.startsWith('--'))) {
          t.ok(known.includes(word.replace(/[)"]+$/, '')), `${example}: ${word}`);
        }
      }
    }
    t.ok(used.has(path), `${path} is among its own examples`);
  }
});

t.test('the settings of the daemon have a meaning each', async (t) => {
  t.same(Object.keys(SETTING_MEANINGS).toSorted(), SETTING_NAMES.toSorted());
});
