/** `wardian completion bash|zsh|fish`: made of the commands as they are, so never out of date. */

import type { Command } from 'commander';
import { Argument } from 'commander';

import type { JsonFlag } from './output.ts';

interface Node {
  /** Words that lead here, `kv namespace` for one. */
  readonly path: string;
  readonly words: readonly string[];
  readonly descriptions: Readonly<Record<string, string>>;
}

/** Inside of single quotes in each of the three shells. */
const plain = (text: string): string => text.replaceAll(/['\\\n:$`"]/g, ' ').replaceAll(/ +/g, ' ');

function nodesOf(command: Command, path: string): Node[] {
  const descriptions: Record<string, string> = {};
  for (const sub of command.commands) descriptions[sub.name()] = plain(sub.description());
  for (const option of command.options) {
    if (option.long !== undefined && option.long !== null) {
      descriptions[option.long] = plain(option.description);
    }
  }
  descriptions['--help'] = 'what it does';
  if (path === '') descriptions['--version'] = 'the version of this program';
  const node = { path, words: Object.keys(descriptions), descriptions };
  return [node, ...command.commands.flatMap(
    (sub) => nodesOf(sub, path === '' ? sub.name() : `${path} ${sub.name()}`))];
}

/** Follows the words so far, as deep as they are commands. */
const descend = (nodes: readonly Node[], variable: string): string => nodes
  .filter(({ path }) => path !== '')
  .map(({ path }) => `      '${path}') ${variable}=$next ;;`)
  .join('\n');

function bash(nodes: readonly Node[]): string {
  const cases = nodes.map(({ path, words }) => `    '${path}') words='${words.join(' ')}' ;;`);
  return `# wardian completion for bash: source <(wardian completion bash)
_wardian() {
  local current=\${COMP_WORDS[COMP_CWORD]} path='' next word words
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    next="\${path:+$path }$word"
    case "$next" in
${descend(nodes, 'path')}
    esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ $current != -* ]] && COMPREPLY+=($(compgen -f -- "$current"))
}
complete -o filenames -F _wardian wardian
`;
}

function zsh(nodes: readonly Node[]): string {
  const cases = nodes.map(({ path, descriptions }) => {
    const lines = Object.entries(descriptions).map(([word, text]) => `'${word}:${text}'`);
    return `    '${path}') choices=(${lines.join(' ')}) ;;`;
  });
  return `#compdef wardian
# wardian completion for zsh: source <(wardian completion zsh)
_wardian() {
  local at='' next word
  local -a choices
  for word in "\${(@)words[2,CURRENT-1]}"; do
    next="\${at:+$at }$word"
    case "$next" in
${descend(nodes, 'at')}
    esac
  done
  case "$at" in
${cases.join('\n')}
  esac
  _describe 'wardian' choices
  [[ $PREFIX != -* ]] && _files
}
compdef _wardian wardian
`;
}

function fish(nodes: readonly Node[]): string {
  const lines = nodes.flatMap(({ path, descriptions }) =>
    Object.entries(descriptions).map(([word, text]) => {
      const what = word.startsWith('--') ? `-l ${word.slice(2)}` : `-a ${word}`;
      return `complete -c wardian -n "__wardian_at '${path}'" ${what} -d '${text}'`;
    }));
  return `# wardian completion for fish: wardian completion fish | source
function __wardian_at
  set -l at ''
  for word in (commandline -opc)[2..]
    set -l next (string trim -- "$at $word")
    contains -- "$next" ${nodes.slice(1).map(({ path }) => `'${path}'`).join(' ')}
    and set at $next
  end
  test "$at" = "$argv[1]"
end
${lines.join('\n')}
`;
}

const SHELLS = { bash, zsh, fish } as const;

export function addCompletion(program: Command): void {
  program.command('completion').description('words for your shell to complete')
    .addArgument(new Argument('<shell>').choices(Object.keys(SHELLS)))
    .option('--json', 'print JSON')
    .action((shell: keyof typeof SHELLS, flags: JsonFlag) => {
      const script = SHELLS[shell](nodesOf(program, ''));
      process.stdout.write(flags.json === true ? `${JSON.stringify({ shell, script })}\n` : script);
    });
}
