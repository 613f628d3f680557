/** The `mesh` command as a process. */
import { MeshError, messageOf } from '@thermomesh/runtime';
import { CommanderError } from 'commander';
import { readMeshConfig } from './config.ts';
import { createProgram } from './program.ts';

const exitFailed = 1;
const exitUsage = 2;

try {
  await createProgram(() => readMeshConfig()).parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

function exitCodeOf(error: unknown): number {
  // Commander has printed its own message, or the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitUsage;
  console.error(`mesh: ${messageOf(error)}`);
  // A fault of the program itself is worth its stack.
  if (!(error instanceof MeshError)) console.error(error);
  const usage =
    error instanceof MeshError && ['usage', 'mesh.bad_name', 'config.invalid'].includes(error.code);
  return usage ? exitUsage : exitFailed;
}
