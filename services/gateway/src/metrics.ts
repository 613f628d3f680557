/** The gateway's metrics, apart from what they measure. */
import { latencyBucketsMs, type Metrics } from '@thermomesh/runtime';

export interface GatewayFigures {
  accepted: number;
  buffered: number;
  storedBytes: number;
  connections: number;
  drainInFlight: number;
  waiting: number;
  storeOk: boolean;
}

export interface GatewayMetrics {
  commitMs(ms: number): void;
  refusedConnection(): void;
  refusedPublish(reason: string): void;
  qos0Reading(): void;
  slowSubscriber(): void;
  readonly counts: { refusedConnections: number; refusedPublishes: number; qos0: number };
}

/** @param figures read when the metrics are scraped; undefined before the start */
export function createGatewayMetrics(
  metrics: Metrics,
  figures: () => GatewayFigures | undefined,
): GatewayMetrics {
  const commit = metrics.histogram('commit_ms', 'from a commit to its sync', latencyBucketsMs);
  const connections = metrics.counter('refused_connections_total', 'connections refused');
  const publishes = metrics.counter('refused_publishes_total', 'publishes refused', ['reason']);
  const qos0 = metrics.counter('qos0_readings_total', 'readings at QoS 0: relayed, not stored');
  const slow = metrics.counter('slow_subscribers_total', 'subscribers disconnected for being too slow');
  gauges(metrics, figures);
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
    slowSubscriber: () => slow.inc(),
  };
}

/** Gauges that are read where the numbers are kept, so that no copy of them can go stale. */
function gauges(metrics: Metrics, figures: () => GatewayFigures | undefined): void {
  const gauge = (name: string, help: string, read: (now: GatewayFigures) => number) => {
    const made = metrics.gauge(name, help);
    Object.assign(made, {
      collect: () => {
        const now = figures();
        if (now !== undefined) made.set(read(now));
      },
    });
  };
  gauge('accepted_messages', 'I6: messages made durable, ever', (now) => now.accepted);
  gauge('buffered_messages', 'I6: messages that wait for the drain session', (now) => now.buffered);
  gauge('stored_bytes', 'size of all stored messages', (now) => now.storedBytes);
  gauge('connections', 'open MQTT connections', (now) => now.connections);
  gauge('drain_in_flight_messages', 'sent to the coordinator, not acknowledged', (now) => now.drainInFlight);
  gauge('waiting_publishes', 'publishes that wait for their commit', (now) => now.waiting);
  gauge('store_ok', '1 while publishes are made durable', (now) => (now.storeOk ? 1 : 0));
}
