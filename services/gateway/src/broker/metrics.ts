/** Metrics of the broker. */
import { latencyBucketsMs, type Gauge, type Metrics } from '@thermomesh/runtime';

/** Values of the gauges. */
export interface BrokerStats {
  accepted: number;
  buffered: number;
  storedBytes: number;
  keptBytes: number;
  connections: number;
  drainInFlight: number;
  waiting: number;
  storeOk: boolean;
}

/** Counters and the histogram of commits. */
export interface BrokerMetrics {
  commitMs(ms: number): void;
  refusedConnection(): void;
  refusedPublish(reason: string): void;
  qos0Reading(): void;
  qos0Dropped(): void;
  slowSubscriber(): void;
  /** A message was not queued for a persistent session because of this limit. */
  droppedForSession(reason: string): void;
  readonly counts: { refusedConnections: number; refusedPublishes: number; qos0: number };
}

/** @param stats called when the metrics are scraped; returns undefined before the start */
export function createBrokerMetrics(metrics: Metrics, stats: () => BrokerStats | undefined): BrokerMetrics {
  const commit = metrics.histogram('commit_ms', 'from a commit to its sync', latencyBucketsMs);
  const connections = metrics.counter('refused_connections_total', 'connections refused');
  const publishes = metrics.counter('refused_publishes_total', 'publishes refused', ['reason']);
  const qos0 = metrics.counter('qos0_readings_total', 'readings at QoS 0');
  const qos0Dropped = metrics.counter(
    'qos0_dropped_readings_total',
    'readings at QoS 0 that were dropped because their queue was full',
  );
  const slow = metrics.counter('slow_subscribers_total', 'subscribers disconnected for being too slow');
  const dropped = metrics.counter(
    'session_dropped_messages_total',
    'messages not queued for a persistent session',
    ['reason'],
  );
  addGauges(metrics, stats);
  const counts = { refusedConnections: 0, refusedPublishes: 0, qos0: 0 };
  return {
    counts,
    commitMs: (ms) => commit.observe(ms),
    refusedConnection() {
      counts.refusedConnections += 1;
      connections.inc();
    },
    refusedPublish(reason) {
      counts.refusedPublishes += 1;
      publishes.inc({ reason });
    },
    qos0Reading() {
      counts.qos0 += 1;
      qos0.inc();
    },
    qos0Dropped: () => qos0Dropped.inc(),
    slowSubscriber: () => slow.inc(),
    droppedForSession: (reason) => dropped.inc({ reason }),
  };
}

/** Gauges read their value at each scrape, so no copy of it can be stale. */
function addGauges(metrics: Metrics, stats: () => BrokerStats | undefined): void {
  const add = (made: Gauge, read: (now: BrokerStats) => number) => {
    Object.assign(made, {
      collect: () => {
        const now = stats();
        if (now !== undefined) made.set(read(now));
      },
    });
  };
  add(
    metrics.gauge('accepted_messages', 'I6: messages made durable since the store was created'),
    (now) => now.accepted,
  );
  add(
    metrics.gauge('buffered_messages', 'I6: messages that wait for the drain session'),
    (now) => now.buffered,
  );
  add(
    metrics.gauge('stored_bytes', 'size of the stored messages that a session still needs'),
    (now) => now.storedBytes,
  );
  add(
    metrics.gauge('kept_bytes', 'size of acknowledged messages, kept for a restored database'),
    (now) => now.keptBytes,
  );
  add(metrics.gauge('connections', 'open MQTT connections'), (now) => now.connections);
  add(
    metrics.gauge('drain_in_flight_messages', 'sent to the coordinator, not acknowledged'),
    (now) => now.drainInFlight,
  );
  add(metrics.gauge('waiting_publishes', 'publishes that wait for their commit'), (now) => now.waiting);
  add(metrics.gauge('store_ok', '1 while publishes are made durable'), (now) => (now.storeOk ? 1 : 0));
}
