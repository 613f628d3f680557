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
