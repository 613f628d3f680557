/** The gateway as others see it: the broker document and the figures of the metrics. */
import { drainClientId, drainFilter, uuidText, type BrokerDocument } from '@thermomesh/contracts';
import { storeState, type Running } from './compose.ts';
import type { Config } from './config.ts';
import type { GatewayFigures, GatewayMetrics } from './metrics.ts';

export function figuresOf(running: Running): GatewayFigures {
  const { messages, listener, drain, devices, mesh } = running;
  return {
    accepted: messages.accepted,
    buffered: messages.buffered,
    storedBytes: messages.storedBytes,
    connections: listener.connections,
    drainInFlight: drain.inFlight,
    waiting: devices.waiting + mesh.waiting,
    storeOk: storeState(running).state === 'ok',
  };
}

export function describe(running: Running, config: Config, metrics: GatewayMetrics): BrokerDocument {
  const { messages, sessions, broker, listener, drain } = running;
  const others = sessions.list().map((session) => ({
    ...session,
    connected: broker.isConnected(session.clientId),
  }));
  return {
    log: uuidText(messages.uuid),
    store: { ...storeState(running), bytes: messages.storedBytes, bytesMax: config.BUFFER_BYTES_MAX },
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
    counters: { accepted: messages.accepted, buffered: messages.buffered, ...metrics.counts },
  };
}
