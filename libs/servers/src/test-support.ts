/** What the tests of this library share. */
import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { wholeEnvironment } from './config.ts';

const waitMaxMs = 30_000;
const pollIntervalMs = 20;

/** Waits until `condition` says true. */
export async function waitFor(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + waitMaxMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited ${waitMaxMs} ms in vain: ${what}`);
    await delay(pollIntervalMs);
  }
}

/**
 * Runs `script` (an ES module; `say(value)` hands something over) and kills it with -9 when it has come to its end.
 * @returns what it said
 */
export async function runAndKill(script: string): Promise<unknown> {
  return JSON.parse(await runScript(`${script}\nprocess.kill(process.pid, 'SIGKILL');`));
}

/** Runs `script` in a process of its own; what it said. */
export async function runScript(script: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const say = `const say = (value) => new Promise((done) => process.stdout.write(JSON.stringify(value), done));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', `${say}\n${script}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...wholeEnvironment(), ...env },
  });
  let said = '';
  child.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()));
  await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return said;
}
