/** `mesh status` shows what runs. */
import type { Command } from 'commander';
import { readMembers } from '../mesh/members.ts';
import { openMesh, type MeshContext } from '../mesh/mesh.ts';
import { readStatus } from '../mesh/status.ts';
import { printJson, withOutput, type OutputOptions } from './options.ts';
import { readView } from './view/read-view.ts';
import { renderStatus } from './view/status.ts';

export function addStatus(program: Command, context: () => MeshContext): void {
  withOutput(program.command('status'))
    .description('show processes, coordinator and accounts; works while any part of the mesh is down')
    .addHelpText(
      'after',
      `
Exit code: 1 if the accounts do not balance (I6), else 0. "ready" is true if everything runs.
In the JSON document databaseUrl and redisUrl contain passwords; the table masks them. A part that
is off is null. "members" lists the nodes that have registered in ZooKeeper; it is null if
ZooKeeper does not answer, and everything else is shown nevertheless.

Examples:
  mesh status
  mesh status --name second --json`,
    )
    .action(async (options: OutputOptions) => {
      const mesh = openMesh(context(), options.name);
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
