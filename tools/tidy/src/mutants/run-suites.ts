/** Runs test files in a process of their own and counts. */
import { spawn } from 'node:child_process';

export interface SuiteCounts {
  passed: number;
  failed: number;
  /** Names of failed tests, innermost first. */
  failures: string[];
  /** What the first one said; empty if none failed. */
  reason: string;
}

/** A test that takes longer has failed. */
const testTimeoutMs = 120_000;
/**
 * A file that takes longer has hung, which is as red as a failure. Without its guard a file waits
 * for the deadlines of several tests, which takes minutes on a busy machine.
 */
const fileTimeoutMs = 360_000;
/**
 * What the test runner itself gets to end afterwards: a test that was given up may still hold its
 * process.
 */
const endTimeoutMs = 30_000;

/**
 * @param files relative to `folder`
 * @param atOnce files that run beside each other
 */
export async function runSuites(folder: string, files: string[], atOnce = 1): Promise<SuiteCounts> {
  const args = [
    '--test',
    `--test-concurrency=${atOnce}`,
    '--test-reporter=tap',
    `--test-timeout=${testTimeoutMs}`,
    ...files,
  ];
  // NODE_TEST_CONTEXT would make this run report to a test runner that may have started us.
  const { NODE_TEST_CONTEXT: _context, ...env } = process.env;
  // A process group of its own, to be ended whole.
  const child = spawn(process.execPath, args, {
    cwd: folder,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let hung = false;
  const limit = setTimeout(
    () => {
      hung = true;
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    },
    files.length * fileTimeoutMs + endTimeoutMs,
  );
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await new Promise((resolve, reject) => {
    child.on('close', resolve);
    child.on('error', reject);
  }).finally(() => clearTimeout(limit));
  return readCounts(output, hung);
}

/**
 * Reads the counts from the runner's output in TAP. Output that breaks off has no totals, so its
 * lines are counted: what passed before a hang has passed.
 * @throws Error if the runner ended by itself without totals
 */
export function readCounts(output: string, hung: boolean): SuiteCounts {
  const count = (word: string) =>
    Number(new RegExp(`^# ${word} (\\d+)$`, 'm').exec(output)?.[1] ?? Number.NaN);
  const failures = [...output.matchAll(/^\s*not ok \d+ - (.*)$/gm)].map((match) => match[1] ?? '');
  const reason = /^\s*error: (?:\|-\n)?([^]*?)^\s*code:/m.exec(output)?.[1]?.trim() ?? '';
  if (hung) {
    const passed = [...output.matchAll(/^\s*ok \d+ - /gm)].length;
    return { passed, failed: failures.length + 1, failures: [...failures, 'hung'], reason };
  }
  const counts = { passed: count('pass'), failed: count('fail') + count('cancelled'), failures, reason };
  if (Number.isNaN(counts.passed + counts.failed))
    throw new Error(`the test runner gave no counts:\n${output.slice(-2000)}`);
  return counts;
}
