/**
 * Gathers what the owners of devices must see until the next report takes it: readings at QoS 0
 * that are not stored, and refusals. Bounded; best effort, outside I1 and I6 (ADR 0023).
 */
import type { DeviceNotice, DeviceRefusal, DevicesReport } from '@thermomesh/contracts';

/** Why a reading at QoS 0 is not stored. */
export type NotStored = 'relayed' | 'dropped';

/** A refusal as the broker knows it. */
export type Refusal = Pick<DeviceRefusal, 'kind' | 'reason' | 'topic'>;

/** Maximum number of devices between two reports; beyond it only the totals count. */
export const noticedDevicesMax = 10_000;
/** Maximum number of kinds of refusals of one device between two reports. */
const refusalsMax = 20;
/** Maximum length of a topic in a notice. */
const topicLengthMax = 200;

export interface DeviceNotices {
  notStored(deviceId: string, why: NotStored): void;
  refused(deviceId: string, refusal: Refusal): void;
  /** Takes what was gathered, of the first `devicesMax` devices; undefined if there is nothing. */
  take(devicesMax: number): DevicesReport | undefined;
}

/** @param now Unix time in milliseconds */
export function createDeviceNotices(now: () => number): DeviceNotices {
  const devices = new Map<string, DeviceNotice>();
  const totals = { relayed: 0, dropped: 0 };

  function noticeOf(deviceId: string): DeviceNotice | undefined {
    const known = devices.get(deviceId);
    if (known !== undefined || devices.size >= noticedDevicesMax) return known;
    const notice = { deviceId, notStored: 0, firstAtMs: null, lastAtMs: null, refusals: [] };
    devices.set(deviceId, notice);
    return notice;
  }

  return {
    notStored(deviceId, why) {
      totals[why] += 1;
      const notice = noticeOf(deviceId);
      if (notice === undefined) return;
      notice.notStored += 1;
      notice.lastAtMs = now();
      notice.firstAtMs ??= notice.lastAtMs;
    },
    refused(deviceId, { kind, reason, topic }) {
      const refusals = noticeOf(deviceId)?.refusals;
      if (refusals === undefined) return;
      const atMs = now();
      const text = topic === null ? null : printable(topic);
      const known = refusals.find((refusal) => refusal.kind === kind && refusal.reason === reason);
      if (known !== undefined) {
        known.count += 1;
        known.topic = text;
        known.lastAtMs = atMs;
      } else if (refusals.length < refusalsMax) {
        refusals.push({ kind, reason, topic: text, count: 1, firstAtMs: atMs, lastAtMs: atMs });
      }
    },
    take(devicesMax) {
      if (devices.size === 0 && totals.relayed + totals.dropped === 0) return undefined;
      const taken: DeviceNotice[] = [];
      for (const notice of devices.values()) {
        if (taken.length === devicesMax) break;
        taken.push(notice);
      }
      for (const { deviceId } of taken) devices.delete(deviceId);
      const report = { ...totals, devices: taken };
      totals.relayed = 0;
      totals.dropped = 0;
      return report;
    },
  };
}

/** SQL text and terminals refuse control characters. */
function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\ud800-\udfff]/g, '?').slice(0, topicLengthMax);
}
