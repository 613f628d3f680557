/** The links of a mesh that was started with `--proxied`: cut, stalled, slowed and healed by name. */
import { LinkCondition, type LinkConditions, type LinkReport } from '@thermomesh/links';
import { MeshError } from '@thermomesh/runtime';
import Type from 'typebox';
import type { Mesh } from './mesh.ts';

const Reports = Type.Array(
  Type.Object({
    name: Type.String(),
    port: Type.Integer(),
    connections: Type.Integer(),
    condition: LinkCondition,
  }),
);

/** The links heal by themselves after the time that was said and this: then whoever wanted to heal them is dead. */
export const healGraceMs = 30_000;

export interface LinksClient {
  list(): Promise<LinkReport[]>;
  /** @param forMs how long it is meant to last; without {@link heal} it ends by itself some time later */
  set(conditions: LinkConditions, forMs: number): Promise<LinkReport[]>;
  /** Everything passes again. */
  heal(): Promise<LinkReport[]>;
}

/** All of them throw MeshError `usage` if the mesh has no proxies, `mesh.no_answer` if they do not answer. */
export function linksClient(mesh: Mesh): LinksClient {
  const url = () => {
    const record = mesh.run()?.processes.find(({ role }) => role === 'links');
    if (record?.url === undefined || record.url === null) {
      throw new MeshError(
        'usage',
        `the links of the mesh "${mesh.name}" cannot be cut: start it with "mesh up --proxied"`,
      );
    }
    return `${record.url}/v1/links`;
  };
  return {
    list: async () => mesh.http.get(url(), Reports),
    set: async (conditions, forMs) =>
      mesh.http.put(url(), Reports, { conditions, forMs: forMs + healGraceMs }),
    heal: async () => mesh.http.delete(url(), Reports),
  };
}
