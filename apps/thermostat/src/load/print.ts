/** Where a load run's words go: progress to stderr, the result to stdout. */
import { describeSummary, type LoadSummary } from './report.ts';

/** Without a terminal, a line only every so many progress lines (one a second). */
const sparseEvery = 5;

/** A printer of progress lines: one that rewrites itself on a terminal, a sparse log elsewhere. */
export function watchProgress(runId: string, stderr: NodeJS.WriteStream): (line: string) => void {
  // Who reads may have gone; that is no reason to lose the ledger.
  stderr.on('error', () => undefined);
  let lines = 0;
  return (line) => {
    if (stderr.isTTY) stderr.write(`\r\x1b[Kload ${runId}, ${line}`);
    else if (++lines % sparseEvery === 0) stderr.write(`load ${runId}, ${line}\n`);
  };
}

/** Prints the summary, as one JSON document or in words. */
export function printSummary(summary: LoadSummary, json: boolean, stdout: NodeJS.WriteStream): void {
  if (process.stderr.isTTY) process.stderr.write('\n');
  stdout.write(json ? `${JSON.stringify(summary)}\n` : `${describeSummary(summary)}\n`);
}
