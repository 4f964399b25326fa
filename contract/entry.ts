/**
 * Where files are at run time: the sources run as `.ts` in a checkout and as `.js` under `dist/` in
 * the published package, and both must find thread entries, child entries and the package's data
 * files.
 */

const COMPILED = !import.meta.url.endsWith('.ts');

/** The package's root folder: what holds `package.json`, `guests/` and `grafana/`. */
export const PACKAGE_ROOT = new URL(COMPILED ? '../../' : '../', import.meta.url);

/**
 * The URL of a thread or child entry: `entryUrl(name, import.meta.url)` with a name such as
 * `./worker`.
 */
export function entryUrl(name: string, from: string): URL {
  return new URL(`${name}${COMPILED ? '.js' : '.ts'}`, from);
}

/** The operator's flags about connections (how names resolve, who is trusted) and profiles. */
const THREAD_FLAG = new RegExp('^--(?:tls-|use-(?:system|openssl|bundled)-ca|dns-result-order'
  + '|(?:no-)?network-family-|cpu-prof|heap-prof|diagnostic-dir)');

/** Flags and, where it is a word of its own, their value. */
export function threadFlags(flags: readonly string[]): string[] {
  return flags.filter((word, index) => {
    const before = flags[index - 1] ?? '';
    return THREAD_FLAG.test(word)
      || (!word.startsWith('-') && THREAD_FLAG.test(before) && !before.includes('='));
  });
}

/**
 * How a thread that need not know the daemon's surroundings starts: with no environment, so that
 * nothing of the operator's secrets is where a guest's hostcall might leak it, and of the process's
 * own flags with those for connections and profiles alone, so that what is loaded into the process
 * (a test's coverage, say) does not run in front of guests.
 */
export const BARE_THREAD = {
  env: { NODE_ENV: 'production' },
  execArgv: ['--disable-warning=ExperimentalWarning', ...threadFlags(process.execArgv)],
};
