import { leaderSourceConformance } from '../conformance/leader-source.ts';
import { MemoryQueue } from './memory-queue.ts';

leaderSourceConformance('the queue in memory', () => {
  const queue = new MemoryQueue();
  return {
    source: (id) => queue.source(id),
    cut: (id) => {
      queue.cut(id);
    },
    heal: (id) => {
      queue.heal(id);
    },
    close: () => undefined,
  };
});
