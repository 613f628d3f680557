/** Settings of the mesh's brokers: small, and safe against the death of any process. */

const mebibyte = 1024 * 1024;

/**
 * `factor` is the number of copies of each record. `inSyncMin` is how many copies must have the
 * record before a producer with `acks=all` gets its answer.
 */
export function replication(brokers: number): { factor: number; inSyncMin: number } {
  // Two copies that both must be in sync would stop at the first dead broker.
  return brokers >= 3 ? { factor: 3, inSyncMin: 2 } : { factor: 1, inSyncMin: 1 };
}

/**
 * The lines of `server.properties` that all brokers share: not id, port, folders and ZooKeeper.
 * @param brokers size of the cluster
 */
export function kafkaSettings(brokers: number): Record<string, string> {
  const { factor, inSyncMin } = replication(brokers);
  return {
    'default.replication.factor': String(factor),
    'min.insync.replicas': String(inSyncMin),
    'offsets.topic.replication.factor': String(factor),
    'offsets.topic.num.partitions': '4',
    'transaction.state.log.replication.factor': String(factor),
    'transaction.state.log.min.isr': String(inSyncMin),
    'transaction.state.log.num.partitions': '4',
    // A leader that lacks acknowledged records is worse than no leader.
    'unclean.leader.election.enable': 'false',
    // A mistyped name must be an error, not a new topic.
    'auto.create.topics.enable': 'false',
    'group.initial.rebalance.delay.ms': '0',
    'controlled.shutdown.enable': 'true',
    // The partitions that a dead broker led get a new leader when its session ends.
    'zookeeper.session.timeout.ms': '6000',
    'zookeeper.connection.timeout.ms': '20000',
    'replica.lag.time.max.ms': '10000',
    // The default of this buffer alone exceeds the heap.
    'log.cleaner.dedupe.buffer.size': String(16 * mebibyte),
    'log.cleaner.threads': '1',
    'log.segment.bytes': String(64 * mebibyte),
    'log.index.size.max.bytes': String(mebibyte),
    'num.network.threads': '2',
    'num.io.threads': '4',
    'num.replica.fetchers': '1',
    'num.recovery.threads.per.data.dir': '1',
    'background.threads': '2',
    'queued.max.requests': '100',
    'socket.send.buffer.bytes': String(mebibyte / 4),
    'socket.receive.buffer.bytes': String(mebibyte / 4),
  };
}
