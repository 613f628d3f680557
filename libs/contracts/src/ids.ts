/** Identifiers that cross process boundaries: their alphabets, limits and fixed values. */

/** A device id: 1–64 characters that are safe in a topic level, a file name and SQL text. */
export const deviceIdPattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/** Returns whether `id` is a well-formed device id. */
export function isDeviceId(id: string): boolean {
  return deviceIdPattern.test(id);
}

/** The MQTT user name of the operator. */
export const operatorUsername = 'operator';

/**
 * Prefix of the ids of anonymous devices. None of them has the id of a device with a token.
 */
export const anonymousPrefix = 'anonymous-';

/** Prefixes that devices with a token cannot use, most of them of the mesh's own clients. */
const reservedPrefixes = ['node-', 'operator-', 'thermomesh-', anonymousPrefix];

/** Returns whether the broker accepts a device that logs in with a token under this id. */
export function mayNameDevice(id: string): boolean {
  const reserved = id === operatorUsername || reservedPrefixes.some((prefix) => id.startsWith(prefix));
  return isDeviceId(id) && !reserved;
}

/** The MQTT client id of the one drain session (design: "Drain session"). */
export const drainClientId = 'thermomesh-drain';

/** The topic filter of the drain session, subscribed since the gateway's first start. */
export const drainFilter = 'thermostat/data/#';

/**
 * The MQTT user name of analytics node `nodeId`. On the drain session the coordinator adds its
 * epoch, so that the gateway can refuse a deposed coordinator that would kick out its successor.
 */
export function nodeUsername(nodeId: number, epoch?: number): string {
  return epoch === undefined ? `node/${nodeId}` : `node/${nodeId}/${epoch}`;
}

/** The inverse of {@link nodeUsername}; undefined if `username` is not a node's. */
export function parseNodeUsername(username: string): { nodeId: number; epoch?: number } | undefined {
  const match = /^node\/(\d{1,4})(?:\/(\d{1,15}))?$/.exec(username);
  if (match === null) return undefined;
  const nodeId = Number(match[1]);
  return match[2] === undefined ? { nodeId } : { nodeId, epoch: Number(match[2]) };
}
