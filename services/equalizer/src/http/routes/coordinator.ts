/** `GET /v1/coordinator`: the elected node, and the partitions that this node leads. */
import { codeOf, type HttpApp } from '@thermomesh/runtime';
import Type from 'typebox';
import type { RouteDeps } from '../deps.ts';

const Document = Type.Object({
  nodeId: Type.Integer(),
  /** Null while no node coordinates, and while this node cannot reach ZooKeeper. */
  coordinator: Type.Union([Type.Object({ node: Type.Integer(), epoch: Type.Integer() }), Type.Null()]),
  /** Partitions that this node leads. */
  leading: Type.Array(Type.Integer()),
});

type CoordinatorRouteDeps = Pick<RouteDeps, 'nodeId' | 'coordinator' | 'leader' | 'log'>;

export function coordinatorRoute(app: HttpApp, deps: CoordinatorRouteDeps): void {
  const { nodeId, coordinator, leader, log } = deps;
  app.get('/v1/coordinator', { schema: { response: { 200: Document } } }, async () => {
    const known = await coordinator.leader().catch((error: unknown) => {
      log.debug({ event: 'coordinator.unknown', code: codeOf(error) });
      return undefined;
    });
    // A node's name ends in its number.
    const node = Number(known?.node.split('-').at(-1));
    return {
      nodeId,
      coordinator: known === undefined ? null : { node, epoch: known.epoch },
      leading: [...leader.leading].sort((a, b) => a - b),
    };
  });
}
