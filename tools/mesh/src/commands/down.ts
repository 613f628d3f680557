/** `mesh down` stops a mesh. */
import type { Command } from 'commander';
import type { MeshConfig } from '../config.ts';
import { downMesh } from '../local/down.ts';
import { printJson, say, withOutput, type OutputOptions } from './options.ts';
import { describeEvent } from './view/events.ts';

export function addDown(program: Command, config: () => MeshConfig): void {
  withOutput(program.command('down'))
    .description('stop a mesh, wherever it was started, and what a killed supervisor left behind')
    .addHelpText('after', '\nExamples:\n  mesh down\n  mesh down --name second')
    .action(async ({ name, json }: OutputOptions) => {
      const result = await downMesh(config(), name, (event) => say(describeEvent(event)));
      if (json === true) printJson({ name, ...result });
      else
        console.log(
          result.supervisor || result.leftovers > 0
            ? `the mesh "${name}" is down`
            : `the mesh "${name}" was not up`,
        );
    });
}
