/**
 * What `wardian start` changes of the defaults: a place to try things out, on loopback. Anyone who
 * reaches the sandbox may deploy, and C and Rust builds run code of whoever deploys: together they
 * are a shell for whoever reaches the listener, so on an address that others reach they stay off
 * until somebody asks for them by name.
 */

import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

import { loadConfig } from './config.ts';
import type { Config, ConfigInput } from './config.ts';

const START_DEFAULTS = {
  sandbox: true,
  build_languages: ['wat', 'assemblyscript', 'c', 'rust'],
};

/** A name other than `localhost` may lead anywhere. */
function isLoopback(host: string): boolean {
  if (isIP(host) === 0) return host.toLowerCase() === 'localhost';
  return ipaddr.process(host).range() === 'loopback';
}

export interface StartConfig {
  readonly config: Config;
  /** One line for the operator, when defaults of `start` were left out; otherwise ''. */
  readonly note: string;
}

/** Throws ConfigError, one line. */
export function loadStartConfig(input: ConfigInput): StartConfig {
  const open = loadConfig({ ...input, defaults: START_DEFAULTS });
  if (isLoopback(open.listen.host)) return { config: open, note: '' };
  const config = loadConfig(input);
  const withheld: string[] = [];
  if (config.sandbox !== open.sandbox) withheld.push('the sandbox');
  const languages = open.build_languages.filter((one) => !config.build_languages.includes(one));
  if (languages.length > 0) withheld.push(`builds of ${languages.join(' and ')}`);
  if (withheld.length === 0) return { config, note: '' };
  const note = `${config.listen.host} is not loopback: ${withheld.join(' and ')} off; settings `
    + 'sandbox and build_languages turn them on, for everyone who reaches the listener';
  return { config, note };
}
