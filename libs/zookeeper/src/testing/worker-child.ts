/**
 * A worker in its own process, which a test can stop: `worker-child.ts <hosts> <path>`. It answers
 * when its parent sends a message.
 */
import { once } from 'node:events';
import { ZooKeeper } from '../client/zookeeper.ts';
import { TaskAssignment } from '../recipes/tasks/task-assignment.ts';
import type { Settlement } from '../recipes/tasks/task-worker.ts';

/** The messages to the parent process: a task has begun, or how its answer was settled. */
export interface WorkerNews {
  id: string;
  type: 'begun' | Settlement;
}

const [hosts = '', path = ''] = process.argv.slice(2);
const zk = new ZooKeeper({ hosts, sessionTimeoutMs: 600 });
const tell = (news: WorkerNews) => process.send?.(news);
const tasks = new TaskAssignment(zk, {
  path,
  id: 'child',
  master: false,
  execute: async (_payload, { id }) => {
    const answer = once(process, 'message');
    tell({ id, type: 'begun' });
    await answer;
    return 'late';
  },
  onSettled: (id, settlement) => tell({ id, type: settlement }),
});
zk.start();
tasks.start();
process.once('disconnect', () => void tasks.close().then(async () => zk.close()));
