/** The analytics nodes that have registered in ZooKeeper. */
import type { GroupMember } from '@thermomesh/contracts';
import { readElectionGroup } from '@thermomesh/zookeeper-election';
import { analyticsPath } from './files/znodes.ts';
import { answerTimeoutMs } from './http.ts';
import type { Mesh } from './mesh.ts';

/**
 * Null if the mesh has no ZooKeeper, or it does not answer in time; everything else works without
 * it.
 */
export async function readMembers(mesh: Mesh): Promise<GroupMember[] | null> {
  const run = mesh.run();
  const hosts = run?.state === 'stopped' ? null : run?.zookeeperHosts;
  if (hosts === null || hosts === undefined) return null;
  const group = { hosts, path: analyticsPath(mesh.name), timeoutMs: answerTimeoutMs };
  const members = await readElectionGroup(group);
  if (members === undefined) return null;
  return members.map(({ nodeId: node, url = null, version = null, flavour = null, fit, leads }) => ({
    node,
    url,
    version,
    flavour,
    fit,
    leads,
  }));
}
