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

/** A suite that takes longer has hung, which is as red as a failure. */
const suiteTimeoutMs = 120_000;
/** What the test runner itself gets to end afterwards: a test that was given up may still hold its process. */
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
    `--test-timeout=${suiteTimeoutMs}`,
    ...files,
  ];
  // NODE_TEST_CONTEXT would make this run report to a test runner that may have started us.
  const { NODE_TEST_CONTEXT: _context, ...env } = process.env;
  // A process group of its own, to be ended whole.
  const child = spawn(process.execPath, args, {
    ...{ cwd: folder, env, detached: true },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let hung = false;
  const limit = setTimeout(
    () => {
      hung = true;
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    },
    files.length * suiteTimeoutMs + endTimeoutMs,
  );
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await new Promise((resolve, reject) => {
    child.on('close', resolve);
    child.on('error', reject);
  }).finally(() => clearTimeout(limit));
  const count = (word: string) =>
    Number(new RegExp(`^# ${word} (\\d+)$`, 'm').exec(output)?.[1] ?? Number.NaN);
  const failures = [...output.matchAll(/^\s*not ok \d+ - (.*)$/gm)].map((match) => match[1] ?? '');
  const reason = /^\s*error: (?:\|-\n)?([^]*?)^\s*code:/m.exec(output)?.[1]?.trim() ?? '';
  if (hung) return { passed: 0, failed: 1, failures: [...failures, 'hung'], reason };
  const counts = { passed: count('pass'), failed: count('fail') + count('cancelled'), failures, reason };
  if (Number.isNaN(counts.passed + counts.failed))
    throw new Error(`the test runner gave no counts:\n${output.slice(-2000)}`);
  return counts;
}
