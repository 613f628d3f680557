/** The state of the broker, as the broker document and as the values of the metrics. */
import { drainClientId, drainFilter, uuidText, type BrokerDocument } from '@thermomesh/contracts';
import { storeState, type RunningBroker } from './compose.ts';
import type { BrokerMetrics, BrokerStats } from './metrics.ts';
import type { BrokerOptions } from './settings.ts';

/** The values of the gauges at this moment. */
export function statsOf(broker: RunningBroker): BrokerStats {
  const { messages, listener, drain, devices, mesh } = broker;
  return {
    accepted: messages.accepted,
    buffered: messages.buffered,
    storedBytes: messages.storedBytes,
    keptBytes: messages.keptBytes,
    connections: listener.connections,
    drainInFlight: drain.inFlight,
    waiting: devices.waiting + mesh.waiting,
    storeOk: storeState(broker).state === 'ok',
  };
}

/** The broker document of `GET /v1/broker`. */
export function describe(
  broker: RunningBroker,
  { buffer, kept }: Pick<BrokerOptions, 'buffer' | 'kept'>,
  metrics: BrokerMetrics,
): BrokerDocument {
  const { messages, sessions, aedes, listener, drain } = broker;
  const others = sessions.list().map((session) => ({
    ...session,
    connected: aedes.isConnected(session.clientId),
  }));
  return {
    log: uuidText(messages.uuid),
    store: { ...storeState(broker), bytes: messages.storedBytes, bytesMax: buffer.bytesMax },
    connections: listener.connections,
    sessions: [
      {
        clientId: drainClientId,
        connected: drain.holder !== undefined,
        queued: messages.buffered,
        subscriptions: [drainFilter],
      },
      ...others,
    ],
    drain: {
      connected: drain.holder !== undefined,
      node: drain.holder?.nodeId ?? null,
      epoch: drain.holder?.epoch ?? null,
      inFlight: drain.inFlight,
    },
    backlog: {
      messages: messages.buffered,
      bytes: messages.bufferedBytes,
      oldestReceivedAtMs: messages.oldestReceivedAtMs(),
    },
    kept: { bytes: messages.keptBytes, bytesMax: kept.bytesMax, afterLogId: messages.keptAfterLogId },
    qos0: {
      mode: broker.bestEffort.mode,
      waiting: broker.bestEffort.waiting,
      dropped: broker.bestEffort.dropped,
    },
    counters: { accepted: messages.accepted, buffered: messages.buffered, ...metrics.counts },
  };
}
