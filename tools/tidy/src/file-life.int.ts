/** `scripts/file-life.mjs` and the life of a suite: what hangs ends, is red, and is named. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const scripts = path.resolve(import.meta.dirname, '../../../scripts');
const folder = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-life-'));
after(() => rmSync(folder, { recursive: true, force: true }));

interface Outcome {
  code: number | null;
  said: string;
}

async function run(...words: string[]): Promise<Outcome> {
  // Otherwise it would report to the runner of this very file.
  const { NODE_TEST_CONTEXT: _context, ...env } = process.env;
  const child = spawn(process.execPath, words, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (bytes: Buffer) => (said += String(bytes)));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { code, said };
}

/** Runs a test file as the suites do; without a limit it would not end. */
async function runFile(
  name: string,
  lines: string,
  life: { seconds: number; grace: number },
): Promise<Outcome> {
  const file = path.join(folder, name);
  const leak =
    "import { it } from 'node:test';\nimport net from 'node:net';\nnet.createServer().listen(0);\n";
  writeFileSync(file, leak + lines);
  const preload = pathToFileURL(path.join(scripts, 'file-life.mjs'));
  preload.search = new URLSearchParams({
    seconds: String(life.seconds),
    grace: String(life.grace),
  }).toString();
  return run(`--import=${preload.href}`, '--test', '--test-reporter=spec', file);
}

const forever = 3_600;

it('a file that leaves a handle open ends and fails although its tests pass', async () => {
  const { code, said } = await runFile('leaks.test.mjs', "it('passes', () => {});", {
    seconds: forever,
    grace: 1,
  });
  assert.equal(code, 1);
  assert.match(said, /leaks\.test\.mjs has not ended 1 s after its last test; open: .*TCPServerWrap/);
  assert.match(said, /✖ .*leaks\.test\.mjs/);
});

it('a file whose tests hang ends when its time is up', async () => {
  const hangs = 'for (const n of [1, 2]) it(`hangs ${n}`, () => new Promise(() => {}));';
  const { code, said } = await runFile('hangs.test.mjs', hangs, { seconds: 1, grace: forever });
  assert.equal(code, 1);
  assert.match(said, /hangs\.test\.mjs is not over after 1 s/);
});

it('an overdue suite is killed with its children and names its unfinished files', async () => {
  const file = path.join(folder, 'loops.test.mjs');
  // No timer of its own process can end this one.
  writeFileSync(
    file,
    `import { writeFileSync } from 'node:fs';\nwriteFileSync('pid', String(process.pid));\nfor (;;);\n`,
  );
  const reporter = path.join(scripts, 'count-reporter.mjs');
  const words = ['--test', `--test-reporter=${reporter}`, '--test-reporter-destination=counts', file];
  const script = `
    import { runChild } from ${JSON.stringify(pathToFileURL(path.join(scripts, 'child.mjs')).href)};
    const words = ${JSON.stringify(words)};
    console.log(JSON.stringify(await runChild(process.execPath, words, { lifeMs: 3_000, cwd: process.cwd() })));`;
  const { said } = await run('--input-type=module', '-e', script);
  assert.deepEqual(JSON.parse(said.trim().split('\n').at(-1) ?? ''), {
    code: 1,
    signal: 'SIGKILL',
    overdue: true,
  });
  assert.deepEqual(readFileSync(path.join(folder, 'counts'), 'utf8'), `${JSON.stringify({ begun: file })}\n`);
  const pid = Number(readFileSync(path.join(folder, 'pid'), 'utf8'));
  for (const deadline = Date.now() + 20_000; lives(pid); await delay(10))
    assert.ok(Date.now() < deadline, 'what the suite had started lives on');
});

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}
