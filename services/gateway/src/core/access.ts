/** Who may do what on the broker. */
import {
  bareDataTopic,
  commandTopic,
  dataTopic,
  drainClientId,
  isDeviceId,
  parseNodeUsername,
  statusTopic,
} from '@thermomesh/contracts';
import { subjects, verifyToken } from '@thermomesh/runtime';
import { isTopicFilter } from './topic-tree.ts';

/** Who a connection is. */
export type Identity =
  { kind: 'device'; deviceId: string } | { kind: 'node'; nodeId: number } | { kind: 'operator' };

export interface Credentials {
  clientId: string;
  username: string | undefined;
  password: string | undefined;
}

export interface AccessOptions {
  secret: string;
  /** Clients without a user name are devices whose id begins with {@link anonymousPrefix}. */
  allowAnonymous: boolean;
}

/** Ids that anonymous devices use, so that they can never be one that has a token. */
export const anonymousPrefix = 'anonymous-';

/** Client ids that devices cannot take: those of the mesh's own clients. */
const reservedPrefixes = ['node-', 'operator-', 'thermomesh-'];

/** Longest client id and topic in bytes: they are keys of the store. */
export const clientIdBytesMax = 256;
export const topicBytesMax = 1024;

/** The identity behind the credentials; undefined if they are wrong or do not fit the client id. */
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

/** The node behind the credentials of the drain session, with its epoch; undefined if they are not a node's. */
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
    case 'device': {
      const { deviceId } = identity;
      return [bareDataTopic, dataTopic(deviceId), statusTopic(deviceId)].includes(topic);
    }
    case 'node':
      return topic.startsWith('mesh/');
    case 'operator':
      return topic.startsWith('mesh/') || topic.startsWith('thermostat/command/');
  }
}

/** True if `identity` may subscribe to `filter`. */
export function maySubscribe(identity: Identity, filter: string): boolean {
  if (!isTopicFilter(filter) || Buffer.byteLength(filter) > topicBytesMax) return false;
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

function claimed(username: string): Identity | undefined {
  if (username === subjects.operator) return { kind: 'operator' };
  const node = parseNodeUsername(username);
  if (node !== undefined) return { kind: 'node', nodeId: node.nodeId };
  const reserved = reservedPrefixes.some((prefix) => username.startsWith(prefix));
  return isDeviceId(username) && !reserved ? { kind: 'device', deviceId: username } : undefined;
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
 * A second CONNECT with the same client id closes the first [MQTT-3.1.4-2], so nobody may take another's. Behind a device id only
 * `/` may follow: it cannot be part of a device id, whereas `a-b` could be device `a-b` as well as a second client of `a`.
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
