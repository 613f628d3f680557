/** The topics of the mesh. */
import { isDeviceId } from './ids.ts';

/**
 * The bare topic that devices may use; the gateway rewrites it to {@link dataTopic} of the
 * authenticated device.
 */
export const bareDataTopic = 'thermostat/data';

/**
 * The topic on which the coordinator announces itself, retained (JSON {@link
 * CoordinatorAnnouncement}).
 */
export const coordinatorTopic = 'mesh/analytics/coordinator';

/**
 * On the drain session only: the coordinator subscribes to it and gets one {@link DrainLogState},
 * at QoS 0.
 */
export const drainLogTopic = 'mesh/drain/log';

/**
 * On the drain session only: the coordinator publishes a {@link DrainResend} to it at QoS 1. The
 * gateway acknowledges it when it is durable, and then closes the connection.
 */
export const drainResendTopic = 'mesh/drain/resend';

/**
 * On the drain session only: the coordinator subscribes to it and gets a {@link DevicesReport} now
 * and then, at QoS 0.
 */
export const drainDevicesTopic = 'mesh/drain/devices';

/**
 * On the drain session only: the filter by which the coordinator asks for readings that came at
 * QoS 0. Each comes at QoS 0 as `thermomesh.drain.v1` with the log id 0.
 */
export const bestEffortFilter = 'mesh/drain/best-effort/+';
const bestEffortPrefix = bestEffortFilter.slice(0, -1);

/** The topic on which the coordinator gets the QoS 0 readings of one device. */
export function bestEffortTopic(deviceId: string): string {
  return `${bestEffortPrefix}${deviceId}`;
}

/** The device of a {@link bestEffortTopic}; undefined for any other topic. */
export function deviceOfBestEffortTopic(topic: string): string | undefined {
  return topic.startsWith(bestEffortPrefix) ? topic.slice(bestEffortPrefix.length) : undefined;
}

/**
 * On the drain session only: the coordinator publishes a {@link DrainDatabase} to it at QoS 1. The
 * gateway acknowledges it when it is durable.
 */
export const drainDatabaseTopic = 'mesh/drain/database';

/** Readings of one device. */
export function dataTopic(deviceId: string): string {
  return `thermostat/data/${deviceId}`;
}

/** Retained state and last will of one device. */
export function statusTopic(deviceId: string): string {
  return `thermostat/status/${deviceId}`;
}

/** Commands to one device. A device may subscribe to no other topic. */
export function commandTopic(deviceId: string): string {
  return `thermostat/command/${deviceId}`;
}

/** The device id of a data topic; undefined for any other topic, deeper ones included. */
export function deviceOfDataTopic(topic: string): string | undefined {
  if (!topic.startsWith('thermostat/data/')) return undefined;
  const deviceId = topic.slice('thermostat/data/'.length);
  return isDeviceId(deviceId) ? deviceId : undefined;
}

/** Payload of {@link coordinatorTopic}. */
export interface CoordinatorAnnouncement {
  node: number;
  epoch: number;
  /** Unix time in milliseconds, the coordinator's clock. */
  electedAt: number;
}
