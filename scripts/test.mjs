/**
 * `npm test`: installs missing packages and runs every check, one after the other.
 * `--only unit,e2e` runs some of them. The last line is `N passed, N failed`, by the counts of the
 * test runner; a check that is no test counts only when it fails.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { childEnvironment, runChild } from './child.mjs';
import { ensureInstalled, pinnedNode, root } from './install.mjs';
import { judgeSuite, notRunCode, reasonFileVariable } from './verdict.mjs';

/** Maximum duration of one test, and of one file; a test or file that hangs has failed. */
const testSeconds = { unit: 60, integration: 180, e2e: 400 };
const fileSeconds = { unit: 120, integration: 400, e2e: 900 };
/**
 * Files that run at once, on the two cores of CI: tests with servers and processes wait for a third
 * of their time.
 */
const filesAtOnce = { unit: 2, integration: 3, e2e: 3 };
/** Time for a file to close its resources after its last test. */
const graceSeconds = 60;
/**
 * A suite that takes longer than this multiple of its budget is killed with all of its processes. A
 * slow machine at home gets a larger multiple.
 */
const lifeBudgets = { ci: 2, elsewhere: 5 };
const inCi = !['', '0', 'false', undefined].includes(process.env.CI);
const scratch = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-test-'));
// The suites start many processes of the same modules: each is compiled once for all of them.
process.env.NODE_COMPILE_CACHE ??= path.join(scratch, 'compiled');

/** The suites in the sequence in which they run. Budgets are for the machine of CI. */
const suites = [
  {
    name: 'format',
    budgetSeconds: 60,
    run: async (life) => program(life, 'prettier/bin/prettier.cjs', '--check', '.'),
  },
  {
    name: 'lint',
    budgetSeconds: 90,
    // Both check all packages at once; `npx nx lint <package>` checks one.
    run: async (life) =>
      both(
        await program(life, 'typescript/bin/tsc', '-p', '.'),
        await program(life, 'eslint/bin/eslint.js', '.'),
      ),
  },
  { name: 'unit', budgetSeconds: 120, run: async (life) => tests('unit', 'test', life) },
  {
    name: 'integration',
    budgetSeconds: 360,
    run: async (life) => tests('integration', 'int', life, { withServers: true }),
  },
  {
    name: 'e2e',
    budgetSeconds: 700,
    run: async (life) => tests('e2e', 'e2e', life),
  },
  {
    name: 'mutants',
    budgetSeconds: 360,
    // If these suites have passed, the mutants do not run the unchanged code again.
    run: async (life, passed) =>
      check(life, 'scripts/with-servers.mjs', [
        pinnedNode,
        path.join(root, 'tools/tidy/src/mutants/main.ts'),
        ...(passed.has('unit') && passed.has('integration') ? ['--untouched-passed'] : []),
      ]),
  },
  // Without a container engine, and where none can be started, it reports that it did not run. In
  // CI that is a failure.
  {
    name: 'compose',
    budgetSeconds: 960,
    run: async (life) => check(life, 'scripts/compose-test.mjs'),
  },
];

try {
  const chosen = chooseSuites(process.argv.slice(2));
  await ensureInstalled((line) => console.error(line));
  process.exitCode = await runSuites(chosen);
} catch (error) {
  console.error(`npm test: ${error.message}`);
  process.exitCode = error.usage === true ? 2 : 1;
} finally {
  rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
}

function chooseSuites(words) {
  if (words.length === 0) return suites;
  const names = words.length === 2 && words[0] === '--only' ? words[1].split(',') : [];
  const unknown = names.filter((name) => !suites.some((suite) => suite.name === name));
  if (names.length === 0 || unknown.length > 0) {
    const usage = `usage: npm test [-- --only ${suites.map(({ name }) => name).join(',')}]`;
    throw Object.assign(new Error(usage), { usage: true });
  }
  return suites.filter(({ name }) => names.includes(name));
}

async function runSuites(chosen) {
  const absent = await reportServers();
  const totals = { passed: 0, failed: 0 };
  const lines = [];
  const green = new Set();
  for (const { name, budgetSeconds, run } of chosen) {
    const lifeSeconds = budgetSeconds * (inCi ? lifeBudgets.ci : lifeBudgets.elsewhere);
    const missing = absent.find(({ neededBy }) => neededBy.includes(name));
    if (missing === undefined) console.log(`\n── ${name} ──`);
    const startedAt = Date.now();
    const outcome =
      missing === undefined
        ? await run({ lifeMs: lifeSeconds * 1000 }, green)
        : { passed: 0, failed: 0, signal: null, notRun: `${missing.name} is absent: ${missing.text}` };
    const seconds = (Date.now() - startedAt) / 1000;
    const judged = judgeSuite({ name, budgetSeconds, lifeSeconds }, outcome, { inCi, seconds });
    totals.passed += judged.passed;
    totals.failed += judged.failed;
    lines.push(...judged.lines);
    if (judged.green) green.add(name);
    if (outcome.signal != null) break;
  }
  console.log(`\n${lines.join('\n')}\n${totals.passed} passed, ${totals.failed} failed`);
  return totals.failed === 0 ? 0 : 1;
}

/** Prints which servers and tools are used; returns the absent ones. */
async function reportServers() {
  const script = path.join(root, 'scripts/describe-servers.mjs');
  const described = promisify(execFile)(pinnedNode, [script], { cwd: root, env: childEnvironment() });
  // The first fetch takes a while, so its progress is shown at once.
  described.child.stderr?.pipe(process.stderr);
  const { stdout } = await described;
  const servers = JSON.parse(stdout);
  for (const { name, ok, text } of servers) console.log(`${name}: ${ok ? text : `absent: ${text}`}`);
  return servers.filter(({ ok }) => !ok);
}

/**
 * Runs a program of node_modules. It passes or fails as a whole, and adds no tests to the counts.
 */
async function program(life, file, ...words) {
  return verdictOf(await runChild(pinnedNode, [path.join(root, 'node_modules', file), ...words], life));
}

function both(one, other) {
  return {
    passed: one.passed + other.passed,
    failed: one.failed + other.failed,
    signal: one.signal ?? other.signal,
    overdue: one.overdue || other.overdue,
  };
}

async function check(life, script, words = []) {
  const reasonFile = path.join(scratch, `${path.basename(script)}.reason`);
  const env = childEnvironment({ [reasonFileVariable]: reasonFile });
  return verdictOf(
    await runChild(pinnedNode, [path.join(root, script), ...words], { ...life, env }),
    reasonFile,
  );
}

function verdictOf({ code, signal, overdue }, reasonFile = '') {
  if (code === notRunCode) {
    const notRun = existsSync(reasonFile) ? readFileSync(reasonFile, 'utf8') : 'its lines above say why';
    return { passed: 0, failed: 0, signal, notRun };
  }
  return { passed: 0, failed: code === 0 ? 0 : 1, signal: overdue ? null : signal, overdue };
}

/** Runs the test files of every package, and takes the counts from the runner itself. */
async function tests(name, ending, life, { withServers = false } = {}) {
  const countFile = path.join(scratch, `${name}.json`);
  const fileLife = pathToFileURL(path.join(root, 'scripts/file-life.mjs'));
  const words = [
    path.join(root, 'scripts/run-tests.mjs'),
    `--import=${fileLife}?seconds=${fileSeconds[name]}&grace=${graceSeconds}`,
    `--timeout=${testSeconds[name] * 1000}`,
    `--concurrency=${filesAtOnce[name]}`,
    `--counts=${countFile}`,
    `{libs,services,apps,tools}/*/src/**/*.${ending}.ts`,
    `{e2e,bench}/src/**/*.${ending}.ts`,
    `scripts/*.${ending}.ts`,
  ];
  const wrapped = withServers ? [path.join(root, 'scripts/with-servers.mjs'), pinnedNode, ...words] : words;
  const { code, signal, overdue } = await runChild(pinnedNode, wrapped, life);
  const { counts, running } = readCounts(countFile);
  // A runner that did not reach its summary has failed, whatever its exit code is.
  if (counts === undefined) {
    for (const file of running) console.log(`not over: ${file}`);
    return { passed: 0, failed: Math.max(1, running.length), signal: overdue ? null : signal, overdue };
  }
  const failed = counts.failed + counts.cancelled;
  return { passed: counts.passed, failed: failed === 0 && code !== 0 ? 1 : failed, signal, overdue };
}

/**
 * Reads what the reporter wrote: the totals, if the run was complete, and the files that had begun
 * and not ended.
 */
function readCounts(countFile) {
  const lines = existsSync(countFile) ? readFileSync(countFile, 'utf8').split('\n') : [];
  const running = new Set();
  let counts;
  for (const line of lines.filter((each) => each.endsWith('}'))) {
    const { begun, ended, totals } = JSON.parse(line);
    if (begun !== undefined) running.add(begun);
    if (ended !== undefined) running.delete(ended);
    if (totals != null) counts = totals;
  }
  return { counts, running: [...running] };
}
