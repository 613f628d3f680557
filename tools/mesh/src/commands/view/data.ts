/** Stored data as readable text. */
import type {
  DeviceIncarnationDocument,
  DeviceView,
  ErasedRow,
  RejectedPage,
  RejectionCountPage,
} from '@thermomesh/contracts';
import { show, table } from './table.ts';

/** What `mesh device show` prints. */
export interface DeviceDocument {
  device: DeviceView;
  incarnations: DeviceIncarnationDocument[];
  rejections: RejectionCountPage['items'];
  erased: ErasedRow[];
}

const rawCharsShown = 60;

/** Renders Unix ms as a time in UTC. */
export function showTime(ms: number | null): string {
  return ms === null ? '-' : new Date(ms).toISOString();
}

export function renderRejected(items: RejectedPage['items'], colours: boolean): string {
  if (items.length === 0) return 'no rejected message is kept';
  const rows = items.map(({ id, deviceId, receivedAtMs, reason, detail, rawBase64 }) => [
    id,
    show(deviceId),
    showTime(receivedAtMs),
    reason,
    detail,
    printable(rawBase64),
  ]);
  return table(['id', 'device', 'received', 'reason', 'detail', 'message'], rows, colours);
}

/** The beginning of a message, with everything but printable ASCII replaced. */
function printable(base64: string): string {
  const text = Buffer.from(base64, 'base64')
    .toString('latin1')
    .replace(/[^\x20-\x7e]/g, '.');
  return text.length <= rawCharsShown ? text : `${text.slice(0, rawCharsShown)}…`;
}

export function renderCounts(items: RejectionCountPage['items'], colours: boolean): string {
  if (items.length === 0) return 'no message was rejected';
  const rows = items.map((row) => [
    show(row.deviceId),
    row.reason,
    row.count,
    row.replayed,
    row.deleted,
    showTime(row.firstReceivedAtMs),
    showTime(row.lastReceivedAtMs),
  ]);
  const head = ['device', 'reason', 'rejected', 'replayed', 'deleted', 'first', 'last'];
  return table(head, rows, colours);
}

export function renderDevices(items: DeviceView[], colours: boolean): string {
  if (items.length === 0) return 'no device is known';
  const rows = items.map((row) => [
    row.deviceId,
    show(row.incarnation),
    show(row.seq),
    showTime(row.measuredAtMs),
    show(row.celsius),
    show(row.setpointCelsius),
    show(row.humidityPercent),
    show(row.heating),
  ]);
  const head = ['device', 'incarnation', 'seq', 'measured', '°C', 'setpoint', 'humidity %', 'heating'];
  return table(head, rows, colours);
}

export function renderDevice(
  { device, incarnations, rejections, erased }: DeviceDocument,
  colours: boolean,
): string {
  const opened = incarnations.map(
    ({ incarnation, openedAtMs }) => `${incarnation} (${showTime(openedAtMs)})`,
  );
  const removed = erased.map(
    ({ reason, erased: rows }) => `${rows} ${reason === null ? 'readings' : `rejected messages (${reason})`}`,
  );
  return [
    renderDevices([device], colours),
    `incarnations opened by an operator: ${opened.join(', ') || 'none'}`,
    `removed by an operator: ${removed.join(', ') || 'nothing'}`,
    rejections.length === 0 ? 'rejected: nothing' : renderCounts(rejections, colours),
  ].join('\n');
}
