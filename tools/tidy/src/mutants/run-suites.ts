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

export interface SuiteRun {
  /** Files that run beside each other; 1 if absent. */
  atOnce?: number;
  /** Ends the run as soon as one test has passed and one has failed: the rest changes nothing. */
  untilRed?: boolean;
}

/** @param files relative to `folder` */
export async function runSuites(
  folder: string,
  files: string[],
  { atOnce = 1, untilRed = false }: SuiteRun = {},
): Promise<SuiteCounts> {
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
  let output = '';
  let end: RunEnd = 'by itself';
  // The servers of the tests end when the tests are gone.
  const endNow = (why: RunEnd) => {
    if (end !== 'by itself' || child.pid === undefined || child.exitCode !== null) return;
    end = why;
    process.kill(-child.pid, 'SIGKILL');
  };
  const limit = setTimeout(() => endNow('hung'), files.length * fileTimeoutMs + endTimeoutMs);
  const take = (chunk: Buffer) => {
    output += chunk.toString();
    if (untilRed && isRed(output)) endNow('red');
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  await new Promise((resolve, reject) => {
    child.on('close', resolve);
    child.on('error', reject);
  }).finally(() => clearTimeout(limit));
  return readCounts(output, end);
}

/** How a run ended: by itself, because it took too long, or because its verdict was clear. */
export type RunEnd = 'by itself' | 'hung' | 'red';

const passedLine = /^\s*ok \d+ - /gm;
const failedLine = /^\s*not ok \d+ - (.*)$/gm;

function isRed(output: string): boolean {
  return output.search(passedLine) >= 0 && output.search(failedLine) >= 0;
}

/**
 * Reads the counts from the runner's output in TAP. Output that breaks off has no totals, so its
 * lines are counted: what passed before a hang has passed.
 * @throws Error if the runner ended by itself without totals
 */
export function readCounts(output: string, end: RunEnd): SuiteCounts {
  const count = (word: string) =>
    Number(new RegExp(`^# ${word} (\\d+)$`, 'm').exec(output)?.[1] ?? Number.NaN);
  const failures = [...output.matchAll(failedLine)].map((match) => match[1] ?? '');
  const reason = /^\s*error: (?:\|-\n)?([^]*?)^\s*code:/m.exec(output)?.[1]?.trim() ?? '';
  if (end !== 'by itself') {
    const passed = [...output.matchAll(passedLine)].length;
    const all = end === 'hung' ? [...failures, 'hung'] : failures;
    return { passed, failed: all.length, failures: all, reason };
  }
  const counts = { passed: count('pass'), failed: count('fail') + count('cancelled'), failures, reason };
  if (Number.isNaN(counts.passed + counts.failed))
    throw new Error(`the test runner gave no counts:\n${output.slice(-2000)}`);
  return counts;
}
