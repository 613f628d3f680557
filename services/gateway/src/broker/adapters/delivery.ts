/**
 * Delivers messages to one client at the QoS that its subscriptions grant. Aedes takes the QoS of
 * the first subscription that it comes to, or that of the filter without wildcards, so it delivers
 * too high or too low where subscriptions overlap, and retained messages too high.
 */
import aedesPacket from 'aedes-packet';
import type { AedesPublishPacket, Client } from 'aedes';
import mqtt from 'mqtt-packet';
import { matches } from '../core/topic-tree.ts';
import type { ForwardGate } from './forward-gate.ts';
import type { LmdbPersistence } from './aedes-persistence.ts';

type Deliver = (packet: AedesPublishPacket, done: () => void) => void;

/** The parts of a client of Aedes that are not public. */
interface Internals {
  deliver0: Deliver;
  deliverQoS: Deliver;
  subscriptions: Record<string, { qos: 0 | 1 | 2 }>;
  _nextId: number;
  errored: boolean;
  emit(event: 'error', error: unknown): void;
  waitForDrain(done: () => void): void;
}

/** A packet on its way to a client; `nl` is the mark of a bridge that wants no echo. */
type Outgoing = AedesPublishPacket & { clientId?: string; nl?: boolean; messageId?: number };

/** Aedes' packet is a class, but its typings do not say that. */
const Packet = aedesPacket as unknown as new (original: object) => Outgoing;

const packetIdMax = 65_535;

export interface DeliveryOptions {
  persistence: Pick<LmdbPersistence, 'outgoingUpdate' | 'isInFlight'>;
  mayForward: ForwardGate;
}

/** Replaces the delivery of a new connection; packets of a session's backlog take another way. */
export function replaceDelivery(client: Client, options: DeliveryOptions): void {
  const internals = client as unknown as Internals;
  const deliverAtQos0 = internals.deliver0.bind(client);
  const deliver: Deliver = (packet, done) => {
    packet.qos = Math.min(packet.qos, grantedQos(internals, packet.topic)) as 0 | 1 | 2;
    if (packet.qos === 0) return deliverAtQos0(packet, done);
    const { clientId, nl } = packet as Outgoing;
    const isEcho = nl === true && clientId === client.id;
    if (isEcho || !options.mayForward(client, packet)) return void setImmediate(done);
    setImmediate(() => void send(client, internals, packet, options).finally(done));
  };
  internals.deliver0 = deliver;
  internals.deliverQoS = deliver;
}

/** Gives the packet its id and writes it; resolves when the socket takes more. */
async function send(
  client: Client,
  internals: Internals,
  original: AedesPublishPacket,
  { persistence }: DeliveryOptions,
): Promise<void> {
  const packet = new Packet(original);
  // A retained message is in no queue. With the packet id of a queued message its acknowledgement
  // would remove that message [MQTT-2.3.1-4].
  do {
    packet.messageId = internals._nextId;
    internals._nextId = (internals._nextId % packetIdMax) + 1;
  } while (packet.retain && persistence.isInFlight(client, packet.messageId));
  try {
    if (!client.clean && !packet.retain) await persistence.outgoingUpdate(client, packet);
    if (client.closed) return;
    if (mqtt.writeToStream(packet, client.conn) || internals.errored) return;
    await new Promise<void>((resolve) => internals.waitForDrain(resolve));
  } catch (error) {
    internals.emit('error', error);
  }
}

/** The highest QoS at which the client's subscriptions match `topic`. */
function grantedQos({ subscriptions }: Internals, topic: string): 0 | 1 | 2 {
  let granted: 0 | 1 | 2 = 0;
  for (const [filter, { qos }] of Object.entries(subscriptions)) {
    if (qos > granted && matches(filter, topic)) granted = qos;
  }
  return granted;
}
