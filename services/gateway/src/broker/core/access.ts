/** Decides which client may log in, publish and subscribe. */
import {
  anonymousPrefix,
  bareDataTopic,
  commandTopic,
  dataTopic,
  drainClientId,
  isDeviceId,
  mayNameDevice,
  parseNodeUsername,
  statusTopic,
} from '@thermomesh/contracts';
import { subjects, verifyToken } from '@thermomesh/runtime';
import { isTopicFilter } from './topic-tree.ts';

/** The identity of a connection. */
export type Identity =
  { kind: 'device'; deviceId: string } | { kind: 'node'; nodeId: number } | { kind: 'operator' };

/** The parts of a CONNECT that identify a client. */
export interface Credentials {
  clientId: string;
  username: string | undefined;
  password: string | undefined;
}

export interface AccessOptions {
  secret: string;
  /**
   * Accepts clients without a user name as devices whose id begins with {@link anonymousPrefix}.
   */
  allowAnonymous: boolean;
}

/** First level of a shared subscription of MQTT 5. */
const sharePrefix = '$share';

/** Stands for the subscriptions of a session that has none; no client may subscribe to it. */
export const emptySessionFilter = '$session';

/** Maximum sizes of a client id and a topic, in bytes: both are keys of the store. */
export const clientIdBytesMax = 256;
export const topicBytesMax = 1024;

/**
 * The identity that the credentials prove; undefined if they are wrong or do not fit the client id.
 */
export function identify(credentials: Credentials, options: AccessOptions): Identity | undefined {
  const { clientId, username, password } = credentials;
  if (clientId === drainClientId || Buffer.byteLength(clientId) > clientIdBytesMax) return undefined;
  if (username === undefined) {
    const deviceId = clientId.split('/', 1)[0]!;
    return options.allowAnonymous && deviceId.startsWith(anonymousPrefix) && isDeviceId(deviceId)
      ? { kind: 'device', deviceId }
      : undefined;
  }
  const identity = claimed(username);
  if (identity === undefined || password === undefined) return undefined;
  return verifyToken(options.secret, subjectOf(identity), password) && mayUseClientId(identity, clientId)
    ? identity
    : undefined;
}

/**
 * The node that the credentials of the drain session prove, with its epoch; undefined if they are
 * wrong or do not belong to a node.
 */
export function identifyDrain(
  credentials: Credentials,
  secret: string,
): { nodeId: number; epoch?: number } | undefined {
  const node = parseNodeUsername(credentials.username ?? '');
  if (node === undefined || credentials.password === undefined) return undefined;
  return verifyToken(secret, subjects.node(node.nodeId), credentials.password) ? node : undefined;
}

/** True if `identity` may publish on `topic`. */
export function mayPublish(identity: Identity, topic: string): boolean {
  if (Buffer.byteLength(topic) > topicBytesMax || topic.startsWith('$')) return false;
  switch (identity.kind) {
    case 'device':
      return publishTopicsOf(identity.deviceId).includes(topic);
    case 'node':
      return topic.startsWith('mesh/');
    case 'operator':
      return topic.startsWith('mesh/') || topic.startsWith('thermostat/command/');
  }
}

/** The topics on which a device may publish. */
function publishTopicsOf(deviceId: string): string[] {
  return [bareDataTopic, dataTopic(deviceId), statusTopic(deviceId)];
}

/** Says to the owner of a device what it may publish on. */
export function publishRule(deviceId: string): string {
  return `a device may publish on ${publishTopicsOf(deviceId).join(', ')}`;
}

/** Says to the owner of a device what it may subscribe to. */
export function subscribeRule(deviceId: string): string {
  return `a device may subscribe to ${commandTopic(deviceId)}`;
}

/**
 * Why a CONNECT was refused that has the token of a device; undefined if it has none, because then
 * the device itself may not have sent it.
 */
export function connectRefusal(
  credentials: Credentials,
  willTopic: string | undefined,
  { secret }: Pick<AccessOptions, 'secret'>,
): { deviceId: string; reason: string } | undefined {
  const { clientId, username, password } = credentials;
  const identity = username === undefined ? undefined : claimed(username);
  if (identity?.kind !== 'device' || password === undefined) return undefined;
  const { deviceId } = identity;
  if (!verifyToken(secret, subjectOf(identity), password)) return undefined;
  if (!mayUseClientId(identity, clientId)) {
    return { deviceId, reason: `the client id must be ${deviceId}, or begin with ${deviceId}/` };
  }
  if (willTopic === undefined || mayPublish(identity, willTopic)) return undefined;
  return { deviceId, reason: `the topic of the will: ${publishRule(deviceId)}` };
}

/** True if `identity` may subscribe to `filter`. */
export function maySubscribe(identity: Identity, filter: string): boolean {
  if (!isTopicFilter(filter) || Buffer.byteLength(filter) > topicBytesMax) return false;
  // MQTT 5 shares such a subscription among clients; here nothing would ever match it.
  if (filter.split('/', 1)[0] === sharePrefix || filter === emptySessionFilter) return false;
  switch (identity.kind) {
    case 'device':
      return filter === commandTopic(identity.deviceId);
    case 'node':
      return ['mesh', 'thermostat'].includes(filter.split('/', 1)[0]!);
    case 'operator':
      return true;
  }
}

/** The topic under which a message is stored: the bare data topic becomes the device's own. */
export function storedTopic(identity: Identity, topic: string): string {
  return identity.kind === 'device' && topic === bareDataTopic ? dataTopic(identity.deviceId) : topic;
}

/** The identity that a user name claims. */
function claimed(username: string): Identity | undefined {
  if (username === subjects.operator) return { kind: 'operator' };
  const node = parseNodeUsername(username);
  if (node !== undefined) return { kind: 'node', nodeId: node.nodeId };
  return mayNameDevice(username) ? { kind: 'device', deviceId: username } : undefined;
}

function subjectOf(identity: Identity): string {
  switch (identity.kind) {
    case 'device':
      return subjects.device(identity.deviceId);
    case 'node':
      return subjects.node(identity.nodeId);
    case 'operator':
      return subjects.operator;
  }
}

/**
 * A second CONNECT with the same client id closes the first connection [MQTT-3.1.4-2], so no client
 * may use the id of another. A device id may be followed by `/` and more, because `/` cannot be
 * part of a device id; `a-b` could be the device `a-b` as well as a second client of `a`.
 */
function mayUseClientId(identity: Identity, clientId: string): boolean {
  switch (identity.kind) {
    case 'device':
      return clientId === identity.deviceId || clientId.startsWith(`${identity.deviceId}/`);
    case 'node': {
      const own = `node-${identity.nodeId}`;
      return clientId === own || clientId.startsWith(`${own}-`) || clientId.startsWith(`${own}/`);
    }
    case 'operator':
      return true;
  }
}
