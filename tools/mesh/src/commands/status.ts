/** `mesh status` */
import type { Command } from 'commander';
import { readMembers } from '../client/members.ts';
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
members are the nodes as they list themselves in ZooKeeper; null without it, and everything else is told all the same.

Examples:
  mesh status
  mesh status --name second --json`,
    )
    .action(async (options: OutputOptions) => {
      const mesh = openMesh(config(), options.name);
      if (options.json === true) {
        const [document, members] = await Promise.all([readStatus(mesh), readMembers(mesh)]);
        printJson({ ...document, members });
        if (document.accounts.balanced === false) process.exitCode = 1;
        return;
      }
      const [view, members] = await Promise.all([readView(mesh), readMembers(mesh)]);
      console.log(renderStatus({ ...view, document: { ...view.document, members } }, process.stdout.isTTY));
      if (view.document.accounts.balanced === false) process.exitCode = 1;
    });
}
