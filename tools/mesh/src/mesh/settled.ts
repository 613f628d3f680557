/** Waits until a mesh has settled after its links or nodes have changed. */
import type { Mesh } from './mesh.ts';
import { readNodes, readStatus } from './status.ts';
import { until } from './until.ts';

/**
 * Waits until every node is ready, sees all others, and follows the same coordinator, which is the
 * highest node under Bully. A hand-over to a returned node is waited for too, so that it is
 * attributed to its cause and not to what happens next.
 * @returns the coordinator
 * @throws MeshError `mesh.timeout`
 */
export async function untilSettled(mesh: Mesh, timeoutMs: number): Promise<{ node: number; epoch: number }> {
  const nodes = nodeCount(mesh);
  // The election by a queue in ZooKeeper prefers no node.
  const highestWins = mesh.run()?.election !== 'zookeeper';
  return until(
    { what: `all nodes to agree on ${highestWins ? 'the highest one' : 'one'}`, timeoutMs, pollMs: 100 },
    async () => {
      const answers = (await readNodes(mesh)).map(({ answer }) => answer);
      const agree = answers.every(
        (answer) =>
          answer?.fit === true &&
          answer.coordinator !== null &&
          (!highestWins || answer.coordinator.node === nodes) &&
          seesAll(answer.peers),
      );
      const first = answers[0]?.coordinator ?? undefined;
      const same = answers.every((answer) => answer?.coordinator?.epoch === first?.epoch);
      return agree && same && (await readStatus(mesh)).ready ? first : undefined;
    },
  );
}

const seesAll = (peers: { connected: boolean }[]) => peers.every(({ connected }) => connected);

export function nodeCount(mesh: Mesh): number {
  return (mesh.run()?.processes ?? []).filter(({ role }) => role === 'analytics').length;
}
