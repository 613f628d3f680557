/**
 * `npm run mutants [-- name…]`: takes out each guard and shows that a test goes red. Exit 1 if one
 * survives.
 */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { mutants, type Mutant } from './catalogue.ts';
import { runSuites, type SuiteCounts } from './run-suites.ts';
import { createWorkspace, type Workspace } from './workspace.ts';

const help = `Usage: npm run mutants -- [--list] [name…]

Takes each guard of the promises out, one at a time, in a copy of the repository, and runs the tests that must then fail.
Without names: all of them, after the same tests have passed untouched.

  --list               print the guards and exit
  --untouched-passed   the same tests have passed untouched a moment ago: do not run them first
  --help               print this`;

/** Copies of the repository that are worked on at once: much of a test's time is waiting. */
const workspacesMax = 3;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    list: { type: 'boolean' },
    'untouched-passed': { type: 'boolean' },
    help: { type: 'boolean' },
  },
});
if (values.help === true) console.log(help);
else if (values.list === true)
  mutants.forEach((mutant) => console.log(`${mutant.name}  ${mutant.promise}  ${mutant.guard}`));
else process.exitCode = await runAll(chosen(positionals));

function chosen(names: string[]): readonly Mutant[] {
  const unknown = names.filter((name) => !mutants.some((mutant) => mutant.name === name));
  if (unknown.length > 0) {
    console.error(`unknown mutant: ${unknown.join(', ')}; npm run mutants -- --list names them`);
    process.exit(2);
  }
  return names.length === 0 ? mutants : mutants.filter(({ name }) => names.includes(name));
}

async function runAll(list: readonly Mutant[]): Promise<number> {
  const repository = path.resolve(import.meta.dirname, '../../../..');
  const count = Math.min(workspacesMax, list.length);
  const workspaces = Array.from({ length: count }, () => createWorkspace(repository));
  process.once('exit', () => workspaces.forEach((workspace) => workspace.remove()));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

  if (values['untouched-passed'] !== true && !(await passUntouched(workspaces, list))) return 1;
  const left = [...list];
  let caught = 0;
  await Promise.all(
    workspaces.map(async (workspace) => {
      for (let mutant = left.shift(); mutant !== undefined; mutant = left.shift()) {
        // Not `caught += await …`: that reads `caught` before the wait.
        const red = await isCaught(workspace, mutant);
        caught += Number(red);
      }
    }),
  );
  console.log(`mutants: ${caught} passed, ${list.length - caught} failed`);
  return caught === list.length ? 0 : 1;
}

async function passUntouched(workspaces: readonly Workspace[], list: readonly Mutant[]): Promise<boolean> {
  const suites = [...new Set(list.flatMap((mutant) => mutant.suites))];
  const untouched = await runSuites(workspaces[0]!.folder, suites, { atOnce: workspaces.length });
  if (untouched.failed === 0) return true;
  console.error(
    `✖ the tests fail before any guard is taken out: ${untouched.failures.join('; ')}\n${untouched.reason}`,
  );
  return false;
}

async function isCaught(workspace: Workspace, mutant: Mutant): Promise<boolean> {
  const restore = workspace.mutate(mutant.file, mutant.find, mutant.replace);
  const startedAt = performance.now();
  let counts: SuiteCounts;
  try {
    counts = await runSuites(workspace.folder, mutant.suites, { untilRed: true });
    // A server that does not start in time on a busy machine also fails every test. A change that
    // breaks everything does so each time.
    if (counts.passed === 0) counts = await runSuites(workspace.folder, mutant.suites, { untilRed: true });
  } finally {
    restore();
  }
  // A change that breaks everything proves nothing: some tests have to go on passing.
  const caught = counts.failed > 0 && counts.passed > 0;
  const [first = 'nothing failed'] = counts.failures;
  const broken = `every test failed, twice: the change broke more than the guard\n${counts.reason}`;
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(
    `${caught ? '✔' : '✖'} ${mutant.name} (${mutant.promise}), ${seconds} s: ${counts.passed === 0 ? broken : first}`,
  );
  return caught;
}
