/** Settings: where they come from, which wins, and that a wrong one is one line that helps. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { REQUEST_LIMITS_DEFAULT } from '../../contract/limits.ts';
import { ConfigError, loadConfig } from '../../daemon/config.ts';
import { nameservers } from '../../hostcalls/services/dns/exchange.ts';
import { EgressPolicy } from '../../hostcalls/services/egress/policy.ts';
import { loadStartConfig } from '../../daemon/start-defaults.ts';

const load = (flags = {}, environment = {}, file?: string) =>
  loadConfig({ flags, environment, file });

t.test('defaults serve on loopback', async (t) => {
  const config = load();
  t.match(config, {
    listen: { host: '127.0.0.1', port: 8080 },
    admin: { host: '127.0.0.1', port: 9090 },
    base_domain: 'localhost',
    sandbox: false,
    limits: REQUEST_LIMITS_DEFAULT,
  });
});

t.test('flags win over variables, variables over the file, the file over defaults', async (t) => {
  const file = join(t.testdir(), 'w.toml');
  writeFileSync(
    file,
    'listen = "127.0.0.1:1"\nadmin = "127.0.0.1:2"\nthreads = 3\n'
      + '[limits]\nfuel = 5000\nhostcalls = 7\n',
  );
  const config = load(
    { listen: '[::1]:9' },
    { WARDIAN_ADMIN: '127.0.0.1:8', WARDIAN_LIMITS_FUEL: '6000' },
    file,
  );
  t.match(config, {
    listen: { host: '::1', port: 9 },
    admin: { host: '127.0.0.1', port: 8 },
    threads: 3,
    limits: { fuel: 6000, hostcalls: 7 },
  });
});

t.test(
  'a shorter deadline shortens subrequests, unless both were given and disagree',
  async (t) => {
    t.equal(load({}, { WARDIAN_LIMITS_DEADLINE_MS: '100' }).limits.subrequestMs, 100);
    t.throws(
      () => load({}, { WARDIAN_LIMITS_DEADLINE_MS: '100', WARDIAN_LIMITS_SUBREQUEST_MS: '200' }),
      { message: 'setting limits.subrequest_ms: 200: at most limits.deadline_ms, which is 100' },
    );
  },
);

t.test('a tenant may fill what is in flight and the queue, unless told otherwise', async (t) => {
  const { guests_in_flight, queue_length, tenant_requests } = load();
  t.equal(tenant_requests, guests_in_flight + queue_length);
  t.equal(load({ guests_in_flight: '8000', queue_length: '10' }).tenant_requests, 8_010);
  t.equal(load({ tenant_requests: '100' }).tenant_requests, 100, 'fewer of each tenant');
  t.throws(
    () => load({ tenant_requests: '4000' }, { WARDIAN_GUESTS_IN_FLIGHT: '8000' }),
    { message: 'setting guests_in_flight in WARDIAN_GUESTS_IN_FLIGHT: 8000: '
      + 'at most tenant_requests, which is 4000' },
  );
});

const WRONG: readonly [string, Record<string, string>, Record<string, string>, string, RegExp][] = [
  [
    'address',
    { listen: '8080' },
    {},
    '',
    /^setting listen in --listen: "8080": expected address:port/,
  ],
  [
    'port',
    { listen: '127.0.0.1:99999' },
    {},
    '',
    /^setting listen in --listen: .*expected address:port/,
  ],
  [
    'number',
    {},
    { WARDIAN_THREADS: 'many' },
    '',
    /^setting threads in WARDIAN_THREADS: "many": expected a whole/,
  ],
  ['range', { threads: '0' }, {}, '', /^setting threads in --threads: 0: expected at least 1$/],
  [
    'CIDR',
    {},
    { WARDIAN_EGRESS_ALLOW: '10.0.0.0/8,10.0.0.0/99' },
    '',
    /egress_allow\.1 .*expected a range/,
  ],
  ['variable', {}, { WARDIAN_THREDS: '4' }, '', /^unknown setting WARDIAN_THREDS; /],
  ['key', {}, {}, 'thread = 4', /^unknown setting thread in .*w\.toml; known are listen, /],
  [
    'limit',
    {},
    {},
    '[limits]\nfule = 4000',
    /^unknown setting limits\.fule in .*; known are fuel, /,
  ],
  ['TOML', {}, {}, 'a = 1\nb =\n', /^config file .*w\.toml, line 2: /],
];

for (const [what, flags, environment, text, expected] of WRONG) {
  t.test(`wrong ${what}`, async (t) => {
    const file = text === '' ? undefined : join(t.testdir(), 'w.toml');
    if (file !== undefined) writeFileSync(file, text);
    try {
      load(flags, environment, file);
      t.fail('accepted');
    } catch (error) {
      t.ok(error instanceof ConfigError);
      t.match((error as Error).message, expected);
      t.notMatch((error as Error).message, /\n/);
    }
  });
}

t.test('addresses and ranges are taken as the services take them, and no others', async (t) => {
  const good: [string, string][] = [
    ['dns_servers', '9.9.9.9,9.9.9.9:5353,[2620:fe::fe],[2620:fe::fe]:53,2620:fe::fe'],
    ['egress_allow', '10.0.0.0/8,fd00::/8,127.0.0.1/32,::1/128,0.0.0.0/0'],
    ['listen', '[::1]:0'], ['listen', '0.0.0.0:80'], ['admin', 'box.example:65535'],
  ];
  for (const [name, text] of good) t.doesNotThrow(() => load({ [name]: text }), text);
  const config = load(Object.fromEntries(good));
  t.equal(nameservers(config.dns_servers).length, 5);
  t.doesNotThrow(() => new EgressPolicy(config.egress_allow));
  const bad: [string, string[]][] = [
    ['dns_servers', [
      '999.9.9.9', '9.9.9', '9.9.9.9:0', '9.9.9.9:99999', '9.9.9.9:', '[9.9.9.9]:53', '[::1', '::g',
      'dns.example', '2620:fe::fe:53:1:1:1:1:1', '1.1.1.1 2.2.2.2',
    ]],
    ['egress_allow', [
      '10/8', '10.0.0.0', '10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/8/8', '::/129', 'fe80::%eth0/10',
      '0x0a.0.0.0/8', '10.0.0.0/0x8', '10.0.0.0/ 8', 'a.example/8',
    ]],
    ['listen', ['[::g]:80', '[127.0.0.1]:80', '::1:80', ':80', '[]:80', '127.0.0.1:65536']],
  ];
  for (const [name, texts] of bad) {
    for (const text of texts) t.throws(() => load({ [name]: text }), ConfigError, text);
  }
});

t.test('start opens the sandbox and all builds on loopback alone', async (t) => {
  const start = (flags: Record<string, string>) => loadStartConfig({ flags, environment: {} });
  const all = ['wat', 'assemblyscript', 'c', 'rust'];
  for (const host of ['127.0.0.1', '127.9.9.9', '[::1]', '[::ffff:7f00:1]', 'localhost']) {
    const { config, note } = start({ listen: `${host}:0` });
    t.equal(config.sandbox, true, host);
    t.strictSame(config.build_languages, all);
    t.equal(note, '');
  }
  for (const host of ['0.0.0.0', '192.168.1.5', '[::]', '[::ffff:a00:1]', 'box.example']) {
    const { config, note } = start({ listen: `${host}:0` });
    t.equal(config.sandbox, false, host);
    t.strictSame(config.build_languages, ['wat', 'assemblyscript']);
    t.match(note, /is not loopback: the sandbox and builds of c and rust off;/);
    t.notMatch(note, /\n/);
  }
  const half = start({ listen: '0.0.0.0:0', build_languages: all.join(',') });
  t.equal(half.config.sandbox, false);
  t.strictSame(half.config.build_languages, all);
  t.match(half.note, /loopback: the sandbox off;/);
  const asked = start({ listen: '0.0.0.0:0', build_languages: all.join(','), sandbox: 'true' });
  t.equal(asked.config.sandbox, true);
  t.equal(asked.note, '');
});

t.test('a file that is not there is named', async (t) => {
  t.throws(() => load({}, {}, '/nowhere/w.toml'), {
    message: 'config file /nowhere/w.toml: ENOENT',
  });
});
