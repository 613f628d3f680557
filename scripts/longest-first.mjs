/**
 * The sequence of test files. Plain JavaScript for Node >= 20.
 */
import path from 'node:path';

/**
 * The files that take longest, the longest first. A file that is missing here runs later, which
 * costs some time and nothing else.
 */
export const slow = [
  ...['partition.e2e', 'cli.e2e', 'partition-zookeeper.e2e', 'checkout.e2e', 'equalizer-mesh.e2e'],
  ...[
    'documents.e2e',
    'large-images.e2e',
    'outage.e2e',
    'gateway.e2e',
    'hand-over.e2e',
    'coordinator-zookeeper.e2e',
    'equalizer-coordinator.e2e',
  ],
  ...['equalizer-servers.e2e', 'coordinator.e2e', 'hand-over-zookeeper.e2e', 'demo.e2e', 'fuzz.e2e'],
  ...['equalizer-workers.e2e', 'fleet.e2e', 'zookeeper-election.e2e', 'zk-kafka.e2e', 'payments.e2e'],
  ...['jobs.int', 'run.int', 'ambiguity.int', 'load.int', 'session.int', 'oracle.int', 'ensemble.int'],
  ...['libraries.int', 'memory.int', 'cluster.int'],
];

/** Sorts files by how long they are known to take; the others follow by name. */
export function longestFirst(files) {
  const rank = (file) => {
    const place = slow.indexOf(path.basename(file, path.extname(file)));
    return place === -1 ? slow.length : place;
  };
  return files.toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}
