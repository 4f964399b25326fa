/** The README's paths, links and limits are those of the sources. */

import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';

import {
  BODY_BYTES_MAX, GUESTS_IN_FLIGHT_MAX, MIB, MODULE_BYTES_MAX, REQUEST_LIMITS_DEFAULT,
  placesMax,
} from '../contract/limits.ts';

const ROOT = new URL('../', import.meta.url);
const text = readFileSync(new URL('README.md', ROOT), 'utf8');

t.test('what it links to and deploys is there', async (t) => {
  const links = [...text.matchAll(/\]\(([^)#]+)[^)]*\)/g)].map(([, path]) => path ?? '');
  const deployed = [...text.matchAll(/npx wardian deploy (guests\/\S+?)`/g)]
    .map(([, path]) => path ?? '');
  t.equal(deployed.length, 4, 'an example in each language');
  for (const path of [...links, ...deployed]) t.ok(existsSync(new URL(path, ROOT)), path);
});

t.test('its table of limits is true', async (t) => {
  const limits = REQUEST_LIMITS_DEFAULT;
  const mib = (bytes: number): string => `${bytes / MIB} MiB`;
  for (const [name, value] of [
    ['fuel per request', `${limits.fuel.toLocaleString('en')} units`],
    ['memory (linear and tables)', mib(limits.memoryBytes)],
    ['time to answer', `${limits.deadlineMs / 1_000} s`],
    ['request body', mib(BODY_BYTES_MAX)],
    ['response body', mib(limits.responseBytes)],
    ['outbound requests', `${limits.subrequests}, ${limits.subrequestsConcurrent} at once`],
    ['module size', mib(MODULE_BYTES_MAX)],
    ['guests in flight', `${GUESTS_IN_FLIGHT_MAX.toLocaleString('en')} per tenant, `
      + `${placesMax(GUESTS_IN_FLIGHT_MAX).toLocaleString('en')} per process`],
  ]) {
    t.ok(text.includes(`| ${name} | ${value} |`), `${name}: ${value}`);
  }
});
