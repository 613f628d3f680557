/** Cuts, stalls, slows and heals the links of a mesh that was started with `--proxied`. */
import { LinkCondition, type LinkConditions, type LinkReport } from '@thermomesh/links';
import Type from 'typebox';
import { meshError } from '../errors.ts';
import type { Mesh } from './mesh.ts';

const Reports = Type.Array(
  Type.Object({
    name: Type.String(),
    port: Type.Integer(),
    connections: Type.Integer(),
    condition: LinkCondition,
  }),
);

/**
 * Links heal by themselves this long after the announced time, in case the process that should heal
 * them has died.
 */
export const healGraceMs = 30_000;

export interface LinksClient {
  list(): Promise<LinkReport[]>;
  /**
   * @param forMs announced duration; without {@link heal} the links heal by themselves some time
   *   later
   */
  set(conditions: LinkConditions, forMs: number): Promise<LinkReport[]>;
  /** Heals all links. */
  heal(): Promise<LinkReport[]>;
}

/**
 * Creates a client of the proxies. Its methods throw MeshError `usage` if the mesh has no proxies,
 * `mesh.no_answer` if they do not answer.
 */
export function linksClient(mesh: Mesh): LinksClient {
  const url = () => {
    const record = mesh.run()?.processes.find(({ role }) => role === 'links');
    if (record?.url === undefined || record.url === null) {
      throw meshError(
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
