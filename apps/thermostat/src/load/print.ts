/** Prints the output of a load run: progress to stderr, the summary to stdout. */
import { describeSummary, type LoadSummary } from './report.ts';

/** Without a terminal, one of this number of progress lines is printed; there is one per second. */
const sparseEvery = 5;

/**
 * Returns a printer of progress lines: on a terminal it rewrites one line, else it prints a few.
 */
export function watchProgress(runId: string, stderr: NodeJS.WriteStream): (line: string) => void {
  // A broken pipe must not end the run, which would lose the ledger.
  stderr.on('error', () => undefined);
  let lines = 0;
  return (line) => {
    if (stderr.isTTY) stderr.write(`\r\x1b[Kload ${runId}, ${line}`);
    else if (++lines % sparseEvery === 0) stderr.write(`load ${runId}, ${line}\n`);
  };
}

/** Prints the summary, as one JSON document or as text. */
export function printSummary(summary: LoadSummary, json: boolean, stdout: NodeJS.WriteStream): void {
  if (process.stderr.isTTY) process.stderr.write('\n');
  stdout.write(json ? `${JSON.stringify(summary)}\n` : `${describeSummary(summary)}\n`);
}
