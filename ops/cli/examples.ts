/** What `--help` shows of each command at its end: how it is used, as it would be typed. */

import type { Command } from 'commander';

/** By the words that lead to the command; '' is `wardian` itself. */
export const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  '': [
    'wardian serve --listen 0.0.0.0:80 --base-domain example.com',
    'wardian deploy hello.wasm            the app "hello": prints its URL',
    'wardian hello.wasm                   the same',
    'wardian apps list --json | jq -r .[].url',
    'wardian token create --tenant acme --name ci        a token for what belongs to acme',
  ],
  serve: [
    'wardian serve',
    'wardian serve --listen 0.0.0.0:80 --base-domain example.com --data /var/lib/wardian',
    'wardian serve --config /etc/wardian.toml --log-level warn',
  ],
  start: ['wardian start', 'wardian start --listen 127.0.0.1:8000'],
  deploy: [
    'wardian deploy hello.wasm',
    'wardian deploy guests/examples/hello-rust --name hello --life 30d',
    'wardian deploy hello.wasm --no-activate && wardian versions deploy hello 1@90 2@10',
  ],
  apps: ['wardian apps list', 'wardian apps set hello --debug --limit fuel=50000000'],
  'apps list': [
    'wardian apps list',
    'wardian apps list --json | jq -r .[].url',
    'wardian --tenant acme apps list',
  ],
  'apps view': ['wardian apps view hello', 'wardian apps view hello --json | jq .settings.limits'],
  'apps set': [
    'wardian apps set hello --debug --limit fuel=50000000 --limit memory_bytes=16777216',
    'wardian apps set hello --limit fuel=default --life never',
  ],
  'apps delete': ['wardian apps delete hello'],
  versions: ['wardian versions list hello', 'wardian versions deploy hello 3@90 4@10'],
  'versions list': [
    'wardian versions list hello',
    'wardian versions list hello --json | jq \'.[-1].previewUrl\'',
  ],
  'versions view': ['wardian versions view hello 3'],
  'versions deploy': [
    'wardian versions deploy hello 3@90 4@10',
    'wardian versions deploy hello 3@50 4@50 --sticky cookie',
    'wardian versions deploy hello 4',
  ],
  rollback: [
    'wardian rollback hello               the newest earlier version that has served',
    'wardian rollback hello 3',
  ],
  hosts: ['wardian hosts add hello www.example.com', 'wardian hosts list hello'],
  'hosts list': ['wardian hosts list hello'],
  'hosts add': ['wardian hosts add hello www.example.com'],
  'hosts remove': ['wardian hosts remove hello www.example.com'],
  env: ['wardian env set hello COLOR=green', 'wardian env list hello'],
  'env set': ['wardian env set hello COLOR=green GREETING="good day"'],
  'env unset': ['wardian env unset hello COLOR GREETING'],
  'env list': ['wardian env list hello', 'wardian env list hello --json | jq -r .COLOR'],
  secret: ['wardian secret put hello API_KEY < key.txt', 'wardian secret list hello'],
  'secret put': [
    'wardian secret put hello API_KEY < key.txt',
    'wardian secret put hello API_KEY          asks for it on a terminal',
    'wardian secret put hello API_KEY --effective-at 2030-01-01T00:00:00Z < next.txt',
  ],
  'secret list': ['wardian secret list hello'],
  'secret delete': ['wardian secret delete hello API_KEY'],
  'secret keys': ['wardian secret keys'],
  'secret rotate-key': [
    'wardian secret rotate-key && wardian secret keys',
    'openssl rand -hex 32 > new-key && wardian secret rotate-key --given < new-key',
  ],
  kv: [
    'wardian kv namespace create sessions && wardian kv bind hello SESSIONS sessions',
    'wardian kv put --namespace sessions greeting "good day" --ttl 12h',
    'wardian kv list --app hello --prefix user:',
    'wardian kv export --namespace sessions > sessions.jsonl',
  ],
  'kv get': [
    'wardian kv get greeting --namespace sessions',
    'wardian kv get base64:AAEC --app hello > value.bin     the key is the bytes 0, 1, 2',
  ],
  'kv put': [
    'wardian kv put greeting "good day" --namespace sessions --ttl 12h',
    'wardian kv put logo --app hello --file logo.png',
    'wardian kv put lock me --namespace sessions --mode absent',
  ],
  'kv list': [
    'wardian kv list --namespace sessions',
    'wardian kv list --app hello --prefix user: --json | jq -r .[].key',
  ],
  'kv delete': ['wardian kv delete greeting --namespace sessions'],
  'kv export': [
    'wardian kv export sessions.jsonl --namespace sessions',
    'wardian kv export --app hello | gzip > hello.jsonl.gz',
  ],
  'kv import': [
    'wardian kv import sessions.jsonl --namespace sessions',
    'zcat hello.jsonl.gz | wardian kv import --app hello',
  ],
  'kv namespace': ['wardian kv namespace create sessions', 'wardian kv namespace list'],
  'kv namespace create': ['wardian kv namespace create sessions'],
  'kv namespace list': [
    'wardian kv namespace list',
    'wardian --tenant acme kv namespace list --json',
  ],
  'kv namespace delete': ['wardian kv namespace delete sessions'],
  'kv bind': ['wardian kv bind hello SESSIONS sessions'],
  'kv unbind': ['wardian kv unbind hello SESSIONS'],
  'kv bindings': ['wardian kv bindings hello'],
  tenant: ['wardian tenant create acme --quota apps=20', 'wardian tenant suspend acme'],
  'tenant create': [
    'wardian tenant create acme --limit fuel=500000000 --quota apps=20',
    'wardian token create --tenant acme --scope deploy --name ci',
  ],
  'tenant list': [
    'wardian tenant list',
    'wardian tenant list --json | jq -r \'.[] | select(.suspended) | .name\'',
  ],
  'tenant set': ['wardian tenant set acme --limit fuel=default --quota storeBytes=1000000000'],
  'tenant suspend': ['wardian tenant suspend acme'],
  'tenant resume': ['wardian tenant resume acme'],
  'tenant delete': ['wardian tenant delete acme'],
  token: [
    'wardian token create --tenant acme --name ci --expires 90d',
    'wardian token list --tenant acme',
  ],
  'token create': [
    'WARDIAN_TOKEN="$(wardian token create --tenant acme --name ci --expires 90d)"',
    'wardian token create --name watch --scope read          the operator\'s, to look at all',
  ],
  'token list': ['wardian token list', 'wardian token list --tenant acme'],
  'token revoke': ['wardian token revoke 7 --tenant acme'],
  tail: [
    'wardian tail',
    'wardian tail hello --status failed',
    'wardian tail --search timeout --json | jq .message',
  ],
  logs: [
    'wardian logs hello --since 10m',
    'wardian logs --kind daemon --limit 100',
    'wardian logs --status 5xx --json > errors.jsonl',
  ],
  failures: ['wardian failures list', 'wardian failures show 0123456789ab'],
  'failures list': [
    'wardian failures list --app hello',
    'wardian failures list --code out_of_fuel --json | jq \'.failures[0].id\'',
  ],
  'failures show': ['wardian failures show 0123456789ab'],
  top: [
    'wardian top',
    'wardian top --sort fuel --interval 5',
    'wardian top --count 1 --json | jq \'.apps[0]\'',
  ],
  backup: [
    'wardian backup /backups/wardian-$(date +%F).db',
    'wardian restore /backups/wardian-2030-01-01.db --data /var/lib/wardian',
  ],
  restore: [
    'wardian restore /backups/wardian-2030-01-01.db --data /var/lib/wardian',
    'wardian restore wardian-2030-01-01.db --admin-url http://127.0.0.1:9090 --yes --wait 2m',
  ],
  completion: [
    'source <(wardian completion bash)',
    'wardian completion fish > ~/.config/fish/completions/wardian.fish',
  ],
};

/** What more there is to say of a command. */
const NOTES: Readonly<Record<string, string>> = {
  kv: 'A key that begins with base64: is bytes in base64url.',
  'kv export': 'Each entry is a line of JSON, with --json or without.',
};

/** Adds them to a command and to all below it. */
export function addExamples(command: Command, path = ''): void {
  const lines = (EXAMPLES[path] ?? []).map((example) => `\n  ${example}`).join('');
  const note = NOTES[path] === undefined ? '' : `\n\n${NOTES[path]}`;
  if (lines !== '') command.addHelpText('after', `\nExamples:${lines}${note}`);
  for (const sub of command.commands) {
    addExamples(sub, path === '' ? sub.name() : `${path} ${sub.name()}`);
  }
}
