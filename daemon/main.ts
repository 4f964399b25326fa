/**
 * The daemon's entry: `wardian serve` and `wardian start`. Reads the settings, connects the daemon
 * with what observes it, and minds the signals.
 */

import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';

import { PACKAGE_ROOT } from '../contract/entry.ts';
import { WardianError } from '../contract/errors.ts';
import { CliError } from '../ops/cli/client.ts';
import { leaveOnClosedPipe, stayOnClosedPipe } from '../ops/cli/closed-pipe.ts';
import { addExamples } from '../ops/cli/examples.ts';
import { describeRestore, restoreLive } from '../ops/cli/restore.ts';
import type { Log } from '../ops/log.ts';
import { Observability } from '../ops/observability.ts';
import { ConfigError, loadConfig, SETTINGS_HELP } from './config.ts';
import type { Config } from './config.ts';
import type { DeployWatch } from './deploy/pipeline.ts';
import { deployExamples } from './examples.ts';
import { addRestore } from './restore-command.ts';
import { ListenError, serve } from './serve.ts';
import type { Daemon, DaemonParts, Observer } from './serve.ts';
import { loadStartConfig } from './start-defaults.ts';

const EXIT_WRONG_SETTING = 2;
const EXIT_FAILED = 1;
/** Another start would find the same: whoever restarts the daemon should leave it alone. */
const EXIT_UNUSABLE = 4;

interface Invocation {
  readonly mode: 'serve' | 'start';
  readonly config: Config;
  /** A line for the operator, or ''. */
  readonly note: string;
}

/** Null when the command is carried out already. */
async function readInvocation(): Promise<Invocation | null> {
  let invocation: Invocation | null | undefined;
  const program = new Command('wardian').exitOverride();
  for (const mode of ['serve', 'start'] as const) {
    const command = program
      .command(mode)
      .exitOverride()
      .description(
        mode === 'serve' ? 'run the daemon' : 'run the daemon for trying out, with examples',
      )
      .option('--config <file>', 'a TOML file with settings (WARDIAN_CONFIG)');
    for (const { flag, help } of SETTINGS_HELP) command.option(`${flag} <value>`, help);
    command.action((options: Record<string, string | undefined>) => {
      const { config: file = process.env['WARDIAN_CONFIG'], ...camel } = options;
      const flags = Object.fromEntries(
        Object.entries(camel).map(([name, value]) => [
          name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
          value,
        ]),
      );
      const input = { file, environment: process.env, flags };
      invocation = mode === 'start'
        ? { mode, ...loadStartConfig(input) }
        : { mode, config: loadConfig(input), note: '' };
    });
  }
  addRestore(program, { describe: describeRestore, live: restoreLive }, () => {
    invocation = null;
  });
  addExamples(program);
  await program.parseAsync(process.argv);
  if (invocation === undefined) throw new ConfigError('expected serve or start');
  return invocation;
}

function packageVersion(): string {
  const text = readFileSync(new URL('package.json', PACKAGE_ROOT), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

function observabilityOf(config: Config): Observability {
  return new Observability({
    logLevel: config.log_level,
    terminal: process.stdout.isTTY,
    accessLog: config.access_log,
    accessLogSample: config.access_log_sample,
    redact: config.log_redact,
    recentLogBytes: config.log_recent_bytes,
    guestLogLinesPerSecond: config.guest_log_rate,
    metrics: config.metrics,
    metricsApps: config.metrics_apps,
    maxima: {
      threads: config.threads,
      guestsInFlight: config.guests_in_flight,
      queueLength: config.queue_length,
      moduleCacheBytes: config.module_cache_bytes,
      memoryPoolBytes: config.memory_pool_bytes,
    },
    version: packageVersion(),
    dataFolder: config.data,
    traces: config.otlp_endpoint === '' ? null
      : { endpoint: config.otlp_endpoint, headers: config.otlp_headers },
  });
}

function watchDeploy(ops: Observability): DeployWatch {
  const stages: Record<string, number> = {};
  let current = '';
  let since = 0;
  const leave = (): void => {
    const now = performance.now();
    if (current !== '') stages[current] = (stages[current] ?? 0) + now - since;
    since = now;
  };
  ops.deployBegan();
  return {
    stage(stage) {
      leave();
      current = stage;
    },
    ended(error) {
      leave();
      const code = error instanceof WardianError ? error.code : 'internal';
      ops.deployEnded({ code: error === null ? null : code, stages });
    },
  };
}

function observerOf(ops: Observability): Observer {
  return {
    request: ops.request,
    refusal: (refusal) => ops.refusal(refusal),
    guestLines: (lines) => ops.guestLines(lines),
    workerLost: (reason, requests) => ops.workerLost(reason, requests),
    fault: (error) => ops.fault(error),
    deploy: () => watchDeploy(ops),
    route: (route) => ops.metrics.deployed(route),
    appRemoved: (appId) => ops.metrics.removed(appId),
    appDeleted: (appId) => ops.appDeleted(appId),
    restored: (record) => ops.restored(record),
  };
}

/** Which app a version is of: what serves now, or an older one whose guests still run. */
function findVersion({ store, router }: DaemonParts, versionId: number) {
  const version = store.getVersion(versionId);
  if (version === null) return null;
  for (const route of router.routes()) {
    if (route.appId === version.appId) return { ...route, versionNumber: version.number };
  }
  return null;
}

/** Set by the first signal. */
let stopping = false;

/**
 * Ctrl-C comes from the terminal, and once more from npm or the launcher: that is no second one.
 */
const SAME_PRESS_MS = 1_000;

/** SIGTERM and SIGINT drain; a second one ends the process at once. */
function mindSignals(daemon: Daemon, ops: Observability): void {
  const { log } = ops;
  let stoppingAt = 0;
  const stop = async (signal: string): Promise<void> => {
    if (stopping) {
      if (performance.now() - stoppingAt < SAME_PRESS_MS) return;
      process.exit(EXIT_FAILED);
    }
    stopping = true;
    stoppingAt = performance.now();
    log.logger.info({ event: 'draining', signal }, 'draining');
    const { finished, cut } = await daemon.stop();
    await ops.close();
    log.logger.info({ event: 'stopped', finished, cut }, 'stopped');
    log.flush();
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      stop(signal).catch((error: unknown) => {
        log.logger.fatal({ err: error }, 'the daemon did not stop cleanly');
        log.flush();
        process.exit(EXIT_FAILED);
      });
    });
  }
}

function announce(daemon: Daemon, { logger }: Log): void {
  const { host, port } = daemon.listener.address;
  const version = packageVersion();
  logger.info(
    {
      event: 'ready',
      version,
      node: process.version,
      host,
      port,
      adminPort: daemon.adminPort,
      engine: daemon.listener.engine,
      engineNote: daemon.listener.engineNote,
      apps: daemon.router.size,
    },
    `wardian ${version} serves ${host}:${port} with ${daemon.listener.engine}`,
  );
}

async function main(): Promise<void> {
  leaveOnClosedPipe();
  const invocation = await readInvocation();
  if (invocation === null) return;
  stayOnClosedPipe();
  const { mode, config, note } = invocation;
  const ops = observabilityOf(config);
  const { log } = ops;
  process.on('uncaughtExceptionMonitor', (error) => {
    log.logger.fatal({ err: error }, 'the daemon fails');
    log.flush();
  });
  let serving: Daemon | null = null;
  const daemon = await serve({
    config,
    observer: observerOf(ops),
    routes(parts) {
      const connections = (): number => serving?.listener.connections() ?? 0;
      const isReady = (): boolean => serving?.notReady() === null;
      ops.connect({ ...parts, connections, isReady }, (id) => findVersion(parts, id),
        (id, offsets) => parts.sourceLines.find(id, offsets),
        (appId) => parts.store.hasApp(appId));
      return ops.routes();
    },
  });
  serving = daemon;
  ops.listening(daemon.listener.engine);
  mindSignals(daemon, ops);
  announce(daemon, log);
  if (daemon.note !== '') log.logger.warn({ event: 'secrets_key' }, daemon.note);
  if (note !== '') log.logger.warn({ event: 'start_defaults' }, note);
  if (mode === 'start') await deployExamples(daemon, config.data, log.logger);
}

main().catch((error: unknown) => {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT_WRONG_SETTING;
    return;
  }
  if (error instanceof CliError) {
    process.stderr.write(`wardian: ${error.message}\n`);
    process.exitCode = error.exitCode;
    return;
  }
  const isSetting = error instanceof ConfigError;
  if (!isSetting && !(error instanceof ListenError) && !(error instanceof WardianError))
    throw error;
  process.stderr.write(`wardian: ${error.message}\n`);
  const isUnusable = error instanceof WardianError && error.code === 'store_unusable';
  process.exitCode = isSetting ? EXIT_WRONG_SETTING : isUnusable ? EXIT_UNUSABLE : EXIT_FAILED;
});
