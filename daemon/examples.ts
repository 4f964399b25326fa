/**
 * The example guests that `wardian start` deploys when its data folder is new, and the URLs it
 * prints.
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { PACKAGE_ROOT } from '../contract/entry.ts';
import type { Daemon } from './serve.ts';

interface Example {
  readonly name: string;
  readonly description: string;
  readonly wasm: string;
}

interface Log {
  info(text: string): void;
  warn(text: string): void;
}

/**
 * Its presence says that the examples were deployed once: whoever deletes one does not get it back.
 */
const MARK_FILE = 'examples-deployed';
const FOLDER = new URL('guests/examples/', PACKAGE_ROOT);

function readExamples(): readonly Example[] {
  return JSON.parse(readFileSync(new URL('examples.json', FOLDER), 'utf8')) as Example[];
}

async function deployOne(daemon: Daemon, example: Example, log: Log): Promise<void> {
  try {
    const { tenant } = daemon;
    const bytes = readFileSync(new URL(example.wasm, FOLDER));
    const files = [{ path: 'module.wasm', bytes }];
    await daemon.pipeline.deploy(
      { tenant, label: example.name, language: 'wasm', files },
      () => {},
    );
  } catch (error) {
    log.warn(`the example ${example.name} is not deployed: ${(error as Error).message}`);
  }
}

/** Deploys each example once per data folder, and says where those that are there answer. */
export async function deployExamples(daemon: Daemon, dataFolder: string, log: Log): Promise<void> {
  const mark = join(dataFolder, MARK_FILE);
  const examples = readExamples();
  if (!existsSync(mark)) {
    await Promise.all(examples.map((example) => deployOne(daemon, example, log)));
    writeFileSync(mark, '');
  }
  for (const { name, description } of examples) {
    if (daemon.store.getApp(name) !== null) log.info(`${daemon.urlOf(name)}  ${description}`);
  }
  log.info('deploy your own with: npx wardian deploy <file or folder>');
}
