/**
 * `npm test`: installs what is missing and runs every check, in order. `--only unit,e2e` runs some of them. The last line is
 * `N passed, N failed`, of the test runner's own counts; a check that is no test counts when it fails.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { childEnvironment, runChild } from './child.mjs';
import { ensureInstalled, pinnedNode, root } from './install.mjs';

/** Of one test, and of one file: what hangs has failed. */
const testSeconds = { unit: 60, integration: 180, e2e: 400 };
const fileSeconds = { unit: 120, integration: 400, e2e: 900 };
/** For what a file has left open when its last test is over. */
const graceSeconds = 60;
/** How many times its budget a suite may live before it is ended with all that it has started; a slow machine at home gets more. */
const lifeBudgets = { ci: 2, elsewhere: 5 };
/** A check that could not run here, as Automake has it. */
const notRunCode = 77;
const inCi = !['', '0', 'false', undefined].includes(process.env.CI);
const scratch = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-test-'));

/** Suites in their order; budgets are for the machine that CI runs on. */
const suites = [
  {
    name: 'format',
    budgetSeconds: 60,
    run: async (life) => program(life, 'prettier/bin/prettier.cjs', '--check', '.'),
  },
  {
    name: 'lint',
    budgetSeconds: 90,
    // Both over all packages at once; `npx nx lint <package>` does one.
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
    run: async (life) =>
      tests('integration', 'int', life, { flags: ['--test-concurrency=2'], withServers: true }),
  },
  {
    name: 'e2e',
    budgetSeconds: 700,
    run: async (life) => tests('e2e', 'e2e', life, { flags: ['--test-concurrency=2'] }),
  },
  {
    name: 'mutants',
    budgetSeconds: 360,
    // What they break has just been seen whole.
    run: async (life, passed) =>
      check(
        life,
        'tools/tidy/src/mutants/main.ts',
        passed.has('unit') && passed.has('integration') ? ['--untouched-passed'] : [],
      ),
  },
  // Where there is no container engine and none can be started it says so by itself, and that is no failure, in CI neither.
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
  rmSync(scratch, { recursive: true, force: true });
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
    const missing = absent.find(({ neededBy }) => neededBy.includes(name));
    if (missing !== undefined) {
      lines.push(
        `${name.padEnd(12)} ${inCi ? 'FAILED' : 'not run'}: ${missing.name} is absent: ${missing.text}`,
      );
      if (inCi) totals.failed += 1;
      continue;
    }
    console.log(`\n── ${name} ──`);
    const startedAt = Date.now();
    const lifeMs = budgetSeconds * 1000 * (inCi ? lifeBudgets.ci : lifeBudgets.elsewhere);
    const { passed, failed, signal, overdue, notRun } = await run({ lifeMs }, green);
    if (notRun === true) {
      lines.push(`${name.padEnd(12)} not run: its own lines above say why`);
      continue;
    }
    const seconds = (Date.now() - startedAt) / 1000;
    totals.passed += passed;
    totals.failed += failed;
    if (failed === 0) green.add(name);
    if (overdue === true) lines.push(`${name.padEnd(12)} did not end within ${lifeMs / 1000} s: killed`);
    const over = inCi && seconds > budgetSeconds ? `, OVER its budget of ${budgetSeconds} s` : '';
    const counts = passed + failed > 1 ? ` (${passed} passed, ${failed} failed)` : '';
    lines.push(
      `${name.padEnd(12)} ${failed === 0 ? 'ok' : 'FAILED'} in ${seconds.toFixed(1)} s${counts}${over}`,
    );
    if (signal !== null) {
      lines.push(`ended by ${signal}: the rest was not run`);
      totals.failed = Math.max(1, totals.failed);
      break;
    }
  }
  console.log(`\n${lines.join('\n')}\n${totals.passed} passed, ${totals.failed} failed`);
  return totals.failed === 0 ? 0 : 1;
}

/** Says which servers and tools are used; returns the absent ones. */
async function reportServers() {
  const script = path.join(root, 'scripts/describe-servers.mjs');
  const described = promisify(execFile)(pinnedNode, [script], { cwd: root, env: childEnvironment() });
  // What is fetched the first time takes a while: it is said as it happens.
  described.child.stderr?.pipe(process.stderr);
  const { stdout } = await described;
  const servers = JSON.parse(stdout);
  for (const { name, ok, text } of servers) console.log(`${name}: ${ok ? text : `absent: ${text}`}`);
  return servers.filter(({ ok }) => !ok);
}

/** Runs a program of node_modules; a check passes or fails as a whole and adds no tests to the counts. */
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
  return verdictOf(await runChild(pinnedNode, [path.join(root, script), ...words], life));
}

function verdictOf({ code, signal, overdue }) {
  if (code === notRunCode) return { passed: 0, failed: 0, signal, notRun: true };
  return { passed: 0, failed: code === 0 ? 0 : 1, signal: overdue ? null : signal, overdue };
}

/** Runs node:test over every package and takes the counts from the runner itself. */
async function tests(name, ending, life, { flags = [], withServers = false } = {}) {
  const countFile = path.join(scratch, `${name}.json`);
  const fileLife = pathToFileURL(path.join(root, 'scripts/file-life.mjs'));
  const words = [
    `--import=${fileLife}?seconds=${fileSeconds[name]}&grace=${graceSeconds}`,
    '--test',
    `--test-timeout=${testSeconds[name] * 1000}`,
    ...flags,
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    `--test-reporter=${path.join(root, 'scripts/count-reporter.mjs')}`,
    `--test-reporter-destination=${countFile}`,
    `{libs,services,apps,tools}/*/src/**/*.${ending}.ts`,
    `{e2e,bench}/src/**/*.${ending}.ts`,
  ];
  const wrapped = withServers ? [path.join(root, 'scripts/with-servers.mjs'), pinnedNode, ...words] : words;
  const { code, signal, overdue } = await runChild(pinnedNode, wrapped, life);
  const { counts, running } = readCounts(countFile);
  // A runner that did not get to its summary has failed, whatever it exits with.
  if (counts === undefined) {
    for (const file of running) console.log(`not over: ${file}`);
    return { passed: 0, failed: Math.max(1, running.length), signal: overdue ? null : signal, overdue };
  }
  const failed = counts.failed + counts.cancelled;
  return { passed: counts.passed, failed: failed === 0 && code !== 0 ? 1 : failed, signal, overdue };
}

/** What the reporter wrote: the totals, if it got that far, and the files that had begun and not ended. */
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
