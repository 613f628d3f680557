/**
 * Preloaded into every test file, so that one that fails without tidying up does not hold up its suite:
 * `file-life.mjs?seconds=240&grace=20`, the latter for what is on its way to its end when the last test is over.
 * What is still open when the tests are over keeps the process; node's `--test-timeout` ends tests, not processes, and
 * `--test-force-exit` would hide the leak. Here the file fails, and says what is open.
 */
import { isMainThread } from 'node:worker_threads';

const settings = new URL(import.meta.url).searchParams;
const [lifeSeconds, graceSeconds] = ['seconds', 'grace'].map((name) => Number(settings.get(name)));
const [, file = ''] = process.argv;

// Threads and forked processes of a test get the same flags; only the file itself is watched.
if (isMainThread && /\.(test|int|e2e)\.m?[jt]s$/.test(file)) {
  const { after } = await import('node:test');
  endAfter(lifeSeconds, `is not over after ${lifeSeconds} s`);
  after(() => endAfter(graceSeconds, `has not ended ${graceSeconds} s after its last test`));
}

/** Does nothing if the process ends by itself before. */
function endAfter(seconds, what) {
  setTimeout(() => {
    const open = process.getActiveResourcesInfo().filter((name) => name !== 'PipeWrap');
    console.error(`${file} ${what}; open: ${open.join(', ') || 'nothing but its pipes'}`);
    process.exit(1);
  }, seconds * 1000).unref();
}
