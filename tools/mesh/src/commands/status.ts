/** `mesh status` */
import type { Command } from 'commander';
import { openMesh, readStatus } from '../client/mesh.ts';
import { readView } from '../client/view.ts';
import type { MeshConfig } from '../config.ts';
import { renderStatus } from '../view/status.ts';
import { printJson, withOutput, type OutputOptions } from './options.ts';

export function addStatus(program: Command, config: () => MeshConfig): void {
  withOutput(program.command('status'))
    .description('what runs, who coordinates, and whether the accounts balance; works with any part dead')
    .addHelpText(
      'after',
      `
Exit code: 1 if the accounts do not balance (I6), 0 otherwise; "ready" tells whether everything runs.
databaseUrl and redisUrl in the JSON document hold passwords; the table masks them. A part that is off is null.

Examples:
  mesh status
  mesh status --name second --json`,
    )
    .action(async (options: OutputOptions) => {
      const mesh = openMesh(config(), options.name);
      if (options.json === true) {
        const document = await readStatus(mesh);
        printJson(document);
        if (document.accounts.balanced === false) process.exitCode = 1;
        return;
      }
      const view = await readView(mesh);
      console.log(renderStatus(view, process.stdout.isTTY));
      if (view.document.accounts.balanced === false) process.exitCode = 1;
    });
}
