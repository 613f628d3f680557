/** `mesh down` */
import type { Command } from 'commander';
import { MeshError } from '@thermomesh/runtime';
import { signalProcess, waitForEnd } from '@thermomesh/servers';
import type { MeshConfig } from '../config.ts';
import { layoutOf } from '../state/layout.ts';
import { livingSupervisor } from '../state/run-file.ts';
import { endLeftovers } from '../supervisor/leftovers.ts';
import { describeEvent } from '../view/events.ts';
import { printJson, say, withOutput, type OutputOptions } from './options.ts';

/** The stages end one after the other, each with a deadline of its own. */
const orderlyStopMs = 60_000;
const killTimeoutMs = 10_000;

export function addDown(program: Command, config: () => MeshConfig): void {
  withOutput(program.command('down'))
    .description('stop a mesh, wherever it was started; also ends what a killed supervisor left behind')
    .addHelpText('after', '\nExamples:\n  mesh down\n  mesh down --name second')
    .action(async ({ name, json }: OutputOptions) => {
      const result = await downMesh(config(), name, say);
      if (json === true) printJson({ name, ...result });
      else
        console.log(
          result.supervisor || result.leftovers > 0
            ? `the mesh "${name}" is down`
            : `the mesh "${name}" was not up`,
        );
    });
}

/**
 * Stops the mesh: through its supervisor if that lives, else process by process.
 * @throws MeshError `mesh.stop_failed`
 */
export async function downMesh(
  config: MeshConfig,
  name: string,
  notice: (line: string) => void,
): Promise<{ supervisor: boolean; leftovers: number }> {
  const layout = layoutOf(config.home, name);
  const supervisor = await livingSupervisor(layout);
  if (supervisor !== undefined) {
    await signalProcess(supervisor, 'SIGTERM');
    await signalProcess(supervisor, 'SIGCONT');
    if (!(await waitForEnd(supervisor, orderlyStopMs))) {
      notice(`the supervisor (pid ${supervisor.pid}) does not end, killing it`);
      await signalProcess(supervisor, 'SIGKILL');
      if (!(await waitForEnd(supervisor, killTimeoutMs))) {
        throw new MeshError('mesh.stop_failed', `the supervisor (pid ${supervisor.pid}) does not end`);
      }
    }
  }
  const leftovers = await endLeftovers(layout, (event) => notice(describeEvent(event)));
  return { supervisor: supervisor !== undefined, leftovers };
}
