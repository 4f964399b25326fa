/**
 * What reads the output may end first: `wardian apps | head -1`. That is no error of ours, but
 * what was under way (a deploy, say) did not come to its end either: the exit code is that of a
 * program which SIGPIPE ended.
 */

const EXIT_CLOSED_PIPE = 128 + 13;

const leave = (error: NodeJS.ErrnoException): void => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(process.exitCode ?? EXIT_CLOSED_PIPE);
};

/** Ends the process once nobody reads what it prints, with the exit code it has by then, if any. */
export function leaveOnClosedPipe(): void {
  process.stdout.on('error', leave);
  process.stderr.on('error', leave);
}

/** For a process that goes on without readers, as a daemon does. */
export function stayOnClosedPipe(): void {
  process.stdout.off('error', leave);
  process.stderr.off('error', leave);
}
