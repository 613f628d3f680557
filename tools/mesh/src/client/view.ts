/** What the tables show beyond the status document. */
import type { StatusView } from '../view/status.ts';
import { readBroker, readNodes, readStatus, type Mesh } from './mesh.ts';

/** Gathers a view; rows per second are left to whoever looks twice. */
export async function readView(mesh: Mesh): Promise<StatusView> {
  const [document, nodes, broker] = await Promise.all([readStatus(mesh), readNodes(mesh), readBroker(mesh)]);
  const byName: StatusView['nodes'] = {};
  for (const { record, answer } of nodes) {
    if (answer !== undefined)
      byName[record.name] = { role: answer.role, epoch: answer.coordinator?.epoch ?? null };
  }
  return { document, nodes: byName, backlog: broker?.backlog.messages ?? null, rowsPerSecond: null };
}
