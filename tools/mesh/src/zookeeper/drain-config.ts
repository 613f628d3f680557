/** The published limits of the drain: writes them, and waits until each node follows them. */
import {
  documentIssues,
  drainLimitNames,
  DrainLimitsDocument,
  drainLimitsPath,
  DrainLimitsView,
  type ConfigChangeDocument,
  type ConfigDocument,
  type DrainLimitName,
} from '@thermomesh/contracts';
import { codeOf, sleep } from '@thermomesh/runtime';
import { DynamicConfig, hasCode, parentOf, readableAcl, type ZooKeeper } from '@thermomesh/zookeeper';
import { meshError } from '../errors.ts';
import { analyticsPath } from '../mesh/files/znodes.ts';
import type { Mesh } from '../mesh/mesh.ts';
import { inWords } from './error-messages.ts';

/** A change of one limit: its value, or `static` to restore each node's own setting. */
export type DrainLimitChange = { name: DrainLimitName; value: number | 'static' };

export interface SetOptions {
  changes: readonly DrainLimitChange[];
  /** The operator's secret, `user:password`. */
  adminSecret: string;
  /** Version of the document that is replaced; default: the present one. */
  version?: number | undefined;
  timeoutMs: number;
}

interface Published {
  document: DrainLimitsDocument;
  version: number | undefined;
}

const pollMs = 5;

/** Reads the published limits, and those that every node follows. */
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
 * Publishes changed limits and waits for the nodes. A document that was changed meanwhile is not
 * overwritten.
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
        await sleep(pollMs);
      }
    }),
  );
  const times = nodes.map(({ convergedMs }) => convergedMs).filter((each) => each !== null);
  const converged = times.length === nodes.length;
  const convergedMs = converged && times.length > 0 ? Math.max(...times) : null;
  return { path, published: document, version, converged, convergedMs, nodes };
}

/**
 * Applies changes to a document.
 * @throws MeshError `usage` if no node would accept the result
 */
export function applyChanges(
  document: DrainLimitsDocument,
  changes: readonly DrainLimitChange[],
): DrainLimitsDocument {
  const next = { ...document };
  for (const { name, value } of changes) {
    if (value === 'static') delete next[name];
    else next[name] = value;
  }
  const issues = documentIssues(DrainLimitsDocument, next);
  if (issues.length > 0) throw meshError('usage', `no node would accept it: ${issues.join('; ')}`);
  return next;
}

async function publish(
  zk: ZooKeeper,
  path: string,
  document: DrainLimitsDocument,
  version: number | undefined,
  adminSecret: string,
): Promise<number> {
  // The parents belong to all members of the group.
  await zk.ensurePath(parentOf(path));
  const config = new DynamicConfig(zk, { path, adminSecret, initial: {}, parse: (each) => each });
  const written = await inWords(path, async () => config.publish(document, version)).catch(
    (error: unknown) => {
      if (codeOf(error) !== 'zookeeper.bad_version') throw error;
      throw meshError(
        'zookeeper.bad_version',
        `the published limits are not at version ${version} any more: someone has changed them. Nothing was done; look again ("mesh config get")`,
        { cause: error },
      );
    },
  );
  // Set even if someone else created the nodes: from now on only the operator may write.
  const acl = readableAcl(adminSecret);
  await inWords(path, async () => Promise.all([zk.setAcl(path, acl), zk.setAcl(`${path}/value`, acl)]));
  return written;
}

async function readPublished(zk: ZooKeeper, path: string): Promise<Published> {
  try {
    const { data, stat } = await zk.getData(`${path}/value`);
    const document = JSON.parse(data.toString()) as unknown;
    const issues = documentIssues(DrainLimitsDocument, document);
    // A document that no node accepts is not changed but replaced.
    return { document: issues.length === 0 ? (document as DrainLimitsDocument) : {}, version: stat.version };
  } catch (error) {
    if (hasCode(error, 'zookeeper.no_node')) return { document: {}, version: undefined };
    throw error;
  }
}

function works(view: DrainLimitsView, document: DrainLimitsDocument, version: number): boolean {
  // A document that was deleted and created again begins at version 0, so the values must match
  // too.
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

/** Undefined if the node does not answer; a dead node follows the limits when it is back. */
async function ask(mesh: Mesh, url: string): Promise<DrainLimitsView | undefined> {
  return mesh.http.get(`${url}/v1/drain-limits`, DrainLimitsView).catch(() => undefined);
}

function pathOf(mesh: Mesh): string {
  return drainLimitsPath(analyticsPath(mesh.name));
}
