/**
 * Preloaded into every test file, as `file-life.mjs?seconds=240&grace=20`, so that a file that
 * fails without cleaning up does not hold up its suite. A resource that is still open after the
 * last test keeps the process alive. Node's `--test-timeout` ends tests, not processes, and
 * `--test-force-exit` would hide the leak. With this module the file fails, and names the open
 * resources. `grace` is the time for resources that are about to close after the last test.
 */
import { isMainThread } from 'node:worker_threads';

const settings = new URL(import.meta.url).searchParams;
const [lifeSeconds, graceSeconds] = ['seconds', 'grace'].map((name) => Number(settings.get(name)));
const [, file = ''] = process.argv;

// Threads and forked processes of a test get the same flags, but only the file itself is watched.
if (isMainThread && /\.(test|int|e2e)\.m?[jt]s$/.test(file)) {
  const { after } = await import('node:test');
  endAfter(lifeSeconds, `is not over after ${lifeSeconds} s`);
  after(() => endAfter(graceSeconds, `has not ended ${graceSeconds} s after its last test`));
}

/** Ends the process with an error, unless it has ended by itself before. */
function endAfter(seconds, what) {
  setTimeout(() => {
    const open = process.getActiveResourcesInfo().filter((name) => name !== 'PipeWrap');
    console.error(`${file} ${what}; open: ${open.join(', ') || 'nothing but its pipes'}`);
    process.exit(1);
  }, seconds * 1000).unref();
}
