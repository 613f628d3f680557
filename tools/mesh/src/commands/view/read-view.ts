/** The data of the tables that is not in the status document. */
import type { Mesh } from '../../mesh/mesh.ts';
import { readBroker, readNodes, readStatus } from '../../mesh/status.ts';
import type { StatusView } from './status.ts';

/**
 * Reads the data of the tables once. Rows per second need two readings, so the caller computes
 * them.
 */
export async function readView(mesh: Mesh): Promise<StatusView> {
  const [document, nodes, broker] = await Promise.all([readStatus(mesh), readNodes(mesh), readBroker(mesh)]);
  const byName: StatusView['nodes'] = {};
  for (const { record, answer } of nodes) {
    if (answer !== undefined)
      byName[record.name] = { role: answer.role, epoch: answer.coordinator?.epoch ?? null };
  }
  return { document, nodes: byName, backlog: broker?.backlog.messages ?? null, rowsPerSecond: null };
}
