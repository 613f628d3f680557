/** Requests that any analytics node answers, and those that only the coordinator does. */
import type { DocumentOf, DocumentSchema } from '@thermomesh/contracts';
import { codeOf } from '@thermomesh/runtime';
import { meshError } from '../errors.ts';
import type { Mesh } from './mesh.ts';
import { readNodes } from './status.ts';

interface Page<R> {
  items: R[];
  next: string | null;
}

/**
 * Asks one node after the other; a refusal is the answer of all.
 * @param path of the route, with its query
 * @throws MeshError `mesh.refused`, `mesh.not_up`, `mesh.no_answer`
 */
export async function askAnalytics<S extends DocumentSchema>(
  mesh: Mesh,
  method: 'GET' | 'DELETE',
  path: string,
  schema: S,
): Promise<DocumentOf<S>> {
  const nodes = (mesh.run()?.processes ?? []).filter(({ role, url }) => role === 'analytics' && url !== null);
  let failure: unknown = meshError('mesh.not_up', `mesh "${mesh.name}" has no analytics node`);
  for (const { url } of nodes) {
    try {
      return await mesh.http.act(method, `${url}${path}`, schema);
    } catch (error) {
      if (codeOf(error) === 'mesh.refused') throw error;
      failure = error;
    }
  }
  throw failure;
}

/**
 * The address of the node that reports to be coordinator, with the highest epoch.
 * @throws MeshError `mesh.no_answer` if there is none
 */
export async function coordinatorUrl(mesh: Mesh): Promise<string> {
  const nodes = await readNodes(mesh);
  const leading = nodes
    .filter(({ answer }) => answer?.role === 'coordinator')
    .sort((a, b) => (b.answer?.coordinator?.epoch ?? 0) - (a.answer?.coordinator?.epoch ?? 0));
  const url = leading[0]?.record.url ?? null;
  if (url === null) throw meshError('mesh.no_answer', 'no node coordinates now: try again in a moment');
  return url;
}

/** Reads the pages of a list until `rowsMax` rows are there. */
export async function readPages<R>(
  rowsMax: number,
  read: (limit: number, cursor: string | undefined) => Promise<Page<R>>,
): Promise<R[]> {
  const rows: R[] = [];
  for (let cursor: string | undefined; rows.length < rowsMax;) {
    const { items, next } = await read(Math.min(1000, rowsMax - rows.length), cursor);
    rows.push(...items);
    if (next === null) break;
    cursor = next;
  }
  return rows;
}

/** Makes a query of the parameters that have a value. */
export function queryOf(values: Record<string, string | number | undefined>): string {
  const pairs = Object.entries(values).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, String(value)]],
  );
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs).toString()}`;
}
