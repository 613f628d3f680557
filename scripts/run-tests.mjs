/**
 * Runs test files in the sequence in which they are named, as `node --test` does, which sorts them
 * by name. A file that takes long and begins last holds up its whole suite. Runs on the pinned
 * Node.
 */
import { createWriteStream } from 'node:fs';
import { glob } from 'node:fs/promises';
import path from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { parseArgs } from 'node:util';
import countReporter from './count-reporter.mjs';
import { longestFirst } from './longest-first.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    /** A module that is loaded into every file. */
    import: { type: 'string', multiple: true, default: [] },
    concurrency: { type: 'string' },
    /** The maximum duration of one test in milliseconds. */
    timeout: { type: 'string' },
    /** The file for the counts. */
    counts: { type: 'string' },
  },
});

const found = (await Array.fromAsync(glob(positionals))).map((file) => path.resolve(file));
if (found.length === 0) throw new Error(`no test file matches ${positionals.join(' ')}`);
const events = run({
  files: longestFirst(found),
  ...(values.concurrency === undefined ? {} : { concurrency: Number(values.concurrency) }),
  ...(values.timeout === undefined ? {} : { timeout: Number(values.timeout) }),
  execArgv: values.import.map((module) => `--import=${module}`),
});
events.on('test:summary', ({ success, file }) => {
  if (file === undefined && !success) process.exitCode = 1;
});
events.compose(spec).pipe(process.stdout);
if (values.counts !== undefined) events.compose(countReporter).pipe(createWriteStream(values.counts));
