/** Runs scripts in processes of their own. */
import { spawn } from 'node:child_process';
import { wholeEnvironment } from '../config.ts';

/**
 * Runs `script`, an ES module, and kills it with SIGKILL at its end.
 * @returns the value that the script passed to `say`
 */
export async function runAndKill(script: string): Promise<unknown> {
  return JSON.parse(await runScript(`${script}\nprocess.kill(process.pid, 'SIGKILL');`));
}

/**
 * Runs `script`, an ES module, in a process of its own.
 * @returns the JSON text of what the script passed to `say`
 */
export async function runScript(script: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const say = `const say = (value) => new Promise((done) => process.stdout.write(JSON.stringify(value), done));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', `${say}\n${script}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...wholeEnvironment(), ...env },
  });
  let output = '';
  child.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()));
  await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return output;
}
