/** The published limits of the drain: what is written, what each node makes of it, and how soon. */
import {
  documentFaults,
  drainLimitNames,
  DrainLimitsDocument,
  drainLimitsPath,
  DrainLimitsView,
  type ConfigChangeDocument,
  type ConfigDocument,
  type DrainLimitName,
} from '@thermomesh/contracts';
import { codeOf, MeshError } from '@thermomesh/runtime';
import { DynamicConfig, hasCode, parentOf, readableAcl, type ZooKeeper } from '@thermomesh/zookeeper';
import { setTimeout as delay } from 'node:timers/promises';
import { analyticsPath } from '../state/znodes.ts';
import { inWords } from '../zk/faults.ts';
import type { Mesh } from './mesh.ts';

/** What `mesh config set` is told of one limit: its value, or that the nodes' own shall hold again. */
export type DrainLimitChange = { name: DrainLimitName; value: number | 'static' };

export interface SetOptions {
  changes: readonly DrainLimitChange[];
  /** Of the operator, `user:password`. */
  adminSecret: string;
  /** Of the document that is replaced; left out: the one that is there now. */
  version?: number | undefined;
  timeoutMs: number;
}

interface Published {
  document: DrainLimitsDocument;
  version: number | undefined;
}

const pollMs = 5;

/** What is published, and what every node works with. */
export async function readDrainConfig(zk: ZooKeeper, mesh: Mesh): Promise<ConfigDocument> {
  const path = pathOf(mesh);
  const { document, version } = await readPublished(zk, path);
  const nodes = await Promise.all(
    nodesOf(mesh).map(async ({ name, url }) => ({ name, drain: (await ask(mesh, url)) ?? null })),
  );
  return {
    path,
    published: version === undefined ? null : document,
    version: version ?? null,
    nodes,
  };
}

/**
 * Publishes the changes over what is published, unless somebody else has changed it meanwhile, and waits for the nodes.
 * @throws MeshError `usage` for values out of bounds, `zookeeper.bad_version`
 */
export async function setDrainConfig(
  zk: ZooKeeper,
  mesh: Mesh,
  options: SetOptions,
): Promise<ConfigChangeDocument> {
  const path = pathOf(mesh);
  const before = await readPublished(zk, path);
  const document = applyChanges(before.document, options.changes);
  const startedAt = performance.now();
  const version = await publish(zk, path, document, options.version ?? before.version, options.adminSecret);
  const deadline = startedAt + options.timeoutMs;
  const nodes = await Promise.all(
    nodesOf(mesh).map(async ({ name, url }) => {
      for (;;) {
        const view = await ask(mesh, url);
        if (view !== undefined && works(view, document, version))
          return { name, convergedMs: performance.now() - startedAt, refused: null };
        const refused = view?.refused ?? null;
        if (refused?.includes(`version ${version} `) === true || performance.now() > deadline)
          return { name, convergedMs: null, refused };
        await delay(pollMs);
      }
    }),
  );
  const times = nodes.map(({ convergedMs }) => convergedMs).filter((each) => each !== null);
  const converged = times.length === nodes.length;
  const convergedMs = converged && times.length > 0 ? Math.max(...times) : null;
  return { path, published: document, version, converged, convergedMs, nodes };
}

/** @throws MeshError `usage` */
export function applyChanges(
  document: DrainLimitsDocument,
  changes: readonly DrainLimitChange[],
): DrainLimitsDocument {
  const next = { ...document };
  for (const { name, value } of changes) {
    if (value === 'static') delete next[name];
    else next[name] = value;
  }
  const faults = documentFaults(DrainLimitsDocument, next);
  if (faults.length > 0) throw new MeshError('usage', `no node would take it: ${faults.join('; ')}`);
  return next;
}

async function publish(
  zk: ZooKeeper,
  path: string,
  document: DrainLimitsDocument,
  version: number | undefined,
  adminSecret: string,
): Promise<number> {
  // What is above it belongs to everybody in the group.
  await zk.ensurePath(parentOf(path));
  const config = new DynamicConfig(zk, { path, adminSecret, initial: {}, parse: (each) => each });
  const written = await inWords(path, async () => config.publish(document, version)).catch(
    (error: unknown) => {
      if (codeOf(error) !== 'zookeeper.bad_version') throw error;
      throw new MeshError(
        'zookeeper.bad_version',
        `the published limits are not at version ${version} any more: somebody has changed them. Nothing was done; look again ("mesh config get")`,
        { cause: error },
      );
    },
  );
  // Also if somebody else made the nodes before: from now on only the operator writes.
  const acl = readableAcl(adminSecret);
  await inWords(path, async () => Promise.all([zk.setAcl(path, acl), zk.setAcl(`${path}/value`, acl)]));
  return written;
}

async function readPublished(zk: ZooKeeper, path: string): Promise<Published> {
  try {
    const { data, stat } = await zk.getData(`${path}/value`);
    const document = JSON.parse(data.toString()) as unknown;
    const faults = documentFaults(DrainLimitsDocument, document);
    // What no node takes is no ground to build on.
    return { document: faults.length === 0 ? (document as DrainLimitsDocument) : {}, version: stat.version };
  } catch (error) {
    if (hasCode(error, 'zookeeper.no_node')) return { document: {}, version: undefined };
    throw error;
  }
}

function works(view: DrainLimitsView, document: DrainLimitsDocument, version: number): boolean {
  // A document that was deleted and made again begins at version 0: the values have to be right too.
  const right = drainLimitNames.every(
    (name) => document[name] === undefined || view.limits[name] === document[name],
  );
  return view.source === 'zookeeper' && view.version === version && right;
}

function nodesOf(mesh: Mesh): { name: string; url: string }[] {
  return (mesh.run()?.processes ?? []).flatMap(({ name, role, url }) =>
    role === 'analytics' && url !== null ? [{ name, url }] : [],
  );
}

/** Undefined if it does not answer: a dead node takes it up when it is back. */
async function ask(mesh: Mesh, url: string): Promise<DrainLimitsView | undefined> {
  return mesh.http.get(`${url}/v1/drain-limits`, DrainLimitsView).catch(() => undefined);
}

function pathOf(mesh: Mesh): string {
  return drainLimitsPath(analyticsPath(mesh.name));
}
