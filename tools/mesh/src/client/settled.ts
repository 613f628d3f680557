/** When a mesh has come to rest after its links or nodes have changed. */
import { readNodes, readStatus, type Mesh } from './mesh.ts';
import { until } from './until.ts';

/**
 * Everybody is ready, sees everybody, and follows the same one, which is the highest node under Bully: nothing is left to change. A
 * hand-over to a node that has come back is waited for, so that it counts for what caused it and not for what happens next.
 * @returns who coordinates then
 * @throws MeshError `mesh.timeout`
 */
export async function untilSettled(mesh: Mesh, timeoutMs: number): Promise<{ node: number; epoch: number }> {
  const nodes = nodeCount(mesh);
  // A queue prefers nobody.
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
