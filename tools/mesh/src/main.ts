/** The `mesh` command as a process. */
import { writeSync } from 'node:fs';
import { codeOf, MeshError, messageOf, startErrorText } from '@thermomesh/runtime';
import { CommanderError } from 'commander';
import { createProgram } from './commands/program.ts';
import { readMeshConfig } from './config.ts';

const exitFailed = 1;
const exitUsage = 2;
/**
 * Commands that keep what they have begun, a mesh or a series of faults, when their reader leaves.
 */
const outliveReader = ['up', 'chaos'];

const program = createProgram(() => readMeshConfig());
let command = '';
program.hook('preAction', (_, action) => {
  command = action.name();
});
for (const stream of [process.stdout, process.stderr]) stream.on('error', onOutputError);

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

/**
 * A reader that goes away (`mesh status | head`) ends the command without a message. Output that
 * cannot be written, such as to a full disk, fails it.
 */
function onOutputError(error: Error): void {
  if (codeOf(error) !== 'EPIPE') {
    // Synchronous, and to a descriptor: stderr may be the stream that fails.
    try {
      writeSync(2, `mesh: the output cannot be written: ${messageOf(error)}\n`);
    } catch {
      // No stream is left to report it on.
    }
    process.exit(exitFailed);
  }
  if (outliveReader.includes(command)) return;
  if (process.listenerCount('SIGINT') > 0) process.kill(process.pid, 'SIGINT');
  else process.exit();
}

function exitCodeOf(error: unknown): number {
  // Commander has already printed its message or the requested help.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitUsage;
  const text = startErrorText(error);
  console.error(`mesh: ${text}`);
  // Any other error is a bug: print its stack too.
  if (!(error instanceof MeshError) && text === messageOf(error)) console.error(error);
  const usage =
    error instanceof MeshError && ['usage', 'mesh.bad_name', 'config.invalid'].includes(error.code);
  return usage ? exitUsage : exitFailed;
}
