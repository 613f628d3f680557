/** `mesh drain` shows the drain, and accepts readings that were lost with a restored database. */
import type { Command } from 'commander';
import { AcceptedGap } from '@thermomesh/contracts';
import { meshError } from '../errors.ts';
import { openMesh, type Mesh, type MeshContext } from '../mesh/mesh.ts';
import { readNodes, readStatus } from '../mesh/status.ts';
import { confirm, withYes, type YesOption } from './confirm.ts';
import { printJson, withOutput, type OutputOptions } from './options.ts';
import { renderAccounts, renderGap } from './view/status.ts';

const help = `
The drain stops when the database was restored from a backup and lacks readings that were
acknowledged to devices, and the gateway does not have them any more. Everything that came later
waits at the gateway. Restore a newer database if there is one. Otherwise "accept-gap" records in
the database that these readings are lost, and the drain continues.

It asks first; --yes confirms, for scripts. Exit code: 1 if "accept-gap" finds no drain that waits at a gap.

Examples:
  mesh drain status
  mesh drain accept-gap
  mesh drain accept-gap --yes --json`;

export function addDrain(program: Command, context: () => MeshContext): void {
  const group = program
    .command('drain')
    .description('show the drain, and accept readings that were lost with a restored database')
    .addHelpText('after', help);
  withOutput(group.command('status'))
    .description('show what the drain does, and the accounts')
    .action(async (options: OutputOptions) => {
      const { drain, coordinator, accounts } = await readStatus(openMesh(context(), options.name));
      if (options.json === true) return printJson({ drain: drain ?? null, coordinator, accounts });
      const state = drain?.state ?? 'unknown: no coordinator answers';
      console.log([`drain: ${state}`, ...renderGap(drain), renderAccounts(accounts)].join('\n'));
    });
  withYes(withOutput(group.command('accept-gap')))
    .description('accept that the missing readings are lost, and let the drain continue; it asks first')
    .action(async (options: OutputOptions & YesOption) => {
      const document = await acceptGap(openMesh(context(), options.name), options);
      if (options.json === true) return printJson(document);
      const { messages, fromLogId, toLogId } = document.accepted;
      console.log(`accepted: ${messages} messages (log ids ${fromLogId} to ${toLogId}) are lost`);
    });
}

/**
 * Accepts the gap that the coordinator names, so that an operator never accepts another one.
 * @throws MeshError `drain.no_gap`, `mesh.no_answer`
 */
async function acceptGap(mesh: Mesh, yes: YesOption): Promise<AcceptedGap> {
  const nodes = await readNodes(mesh);
  if (nodes.every(({ answer }) => answer === undefined))
    throw meshError('mesh.no_answer', 'no analytics node answers');
  for (const { record, answer } of nodes) {
    const gap = answer?.drain?.gap ?? null;
    if (gap === null) continue;
    const { log, fromLogId, toLogId, messages } = gap;
    await confirm(`this records ${messages} messages (log ids ${fromLogId} to ${toLogId}) as lost`, yes);
    return mesh.http.post(`${record.url}/v1/drain/accept-gap`, AcceptedGap, { log, fromLogId, toLogId });
  }
  throw meshError('drain.no_gap', 'no drain waits at a gap');
}
