/** What the bench passes on of its environment; the only reader of the environment here. */
import path from 'node:path';

/** The repository's root. */
export const repository = path.resolve(import.meta.dirname, '../..');

/**
 * Names of variables that reach the processes under measurement. No other variable may change what
 * those processes do.
 */
const passedOn = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'LD_LIBRARY_PATH', 'SystemRoot'];

/** The environment of the processes that the bench starts. */
export function childEnvironment(env: NodeJS.ProcessEnv = process.env): Record<string, string> {
  const entries = passedOn.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]] as const]));
  return Object.fromEntries(entries);
}
