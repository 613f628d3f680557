/** Jobs in tests: submissions, and the documents that a coordinator would write. */
import { randomUUID } from 'node:crypto';
import type { JobMetadata } from '@thermomesh/contracts';
import type { ZooKeeper } from '@thermomesh/zookeeper';
import { blobsOf, nodesOf, type JobProgress, type Submission } from '../../core/jobs.ts';

export function submission(over: Partial<Submission> = {}): Submission {
  const id = randomUUID();
  const fixed = { input: blobsOf(id).input, parameters: { mode: 'grey' }, fileName: 'a.png' };
  return { id, caller: 'key:ann', ...fixed, submittedAtMs: Date.now(), ...over };
}

/** Overwrites the document of a job, as the coordinator does. */
export async function storeJob(
  zk: ZooKeeper,
  root: string,
  of: Submission,
  phase: JobMetadata['phase'],
): Promise<void> {
  const metadata: JobMetadata = {
    id: of.id,
    number: 1,
    caller: of.caller,
    input: of.input,
    parameters: of.parameters,
    phase,
    phaseEpoch: 1,
    restarts: 0,
    turn: 1,
    image: null,
    grid: null,
    table: null,
    result: phase === 'finished' ? blobsOf(of.id).result : null,
    reason: phase === 'failed' ? 'no' : null,
  };
  const document = { submission: of, metadata };
  await zk.setData(nodesOf(root).job(of.id), Buffer.from(JSON.stringify(document)));
}

/** Writes the progress of a job, as the coordinator does. */
export async function writeProgress(
  zk: ZooKeeper,
  root: string,
  id: string,
  progress: JobProgress,
): Promise<void> {
  const path = nodesOf(root).jobProgress(id);
  await zk.ensurePath(path);
  await zk.setData(path, Buffer.from(JSON.stringify(progress)));
}
