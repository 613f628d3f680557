/** `GET /v1/coordinator`: who coordinates, and what this node does. */
import type { HttpApp, Log } from '@thermomesh/runtime';
import { codeOf } from '@thermomesh/runtime';
import Type from 'typebox';
import type { Coordinator } from './coordinator.ts';

const Document = Type.Object({
  nodeId: Type.Integer(),
  /** Null while nobody does, or while this node cannot ask. */
  coordinator: Type.Union([Type.Object({ node: Type.Integer(), epoch: Type.Integer() }), Type.Null()]),
  /** Partitions that this node leads. */
  leading: Type.Array(Type.Integer()),
});

export interface RouteDeps {
  nodeId: number;
  coordinator: Pick<Coordinator, 'leader'>;
  leader: { readonly leading: readonly number[] };
  log: Log;
}

export function coordinatorRoute(app: HttpApp, { nodeId, coordinator, leader, log }: RouteDeps): void {
  app.get('/v1/coordinator', { schema: { response: { 200: Document } } }, async () => {
    const known = await coordinator.leader().catch((error: unknown) => {
      log.debug({ event: 'coordinator.unknown', code: codeOf(error) });
      return undefined;
    });
    // Names end in the number of the node.
    const node = Number(known?.node.split('-').at(-1));
    return {
      nodeId,
      coordinator: known === undefined ? null : { node, epoch: known.epoch },
      leading: [...leader.leading].sort((a, b) => a - b),
    };
  });
}
