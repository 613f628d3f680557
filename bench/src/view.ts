/** The document as tables, for readers. */
import type { BillingDocument } from './billing/run.ts';
import type { EqualizerDocument } from './equalizer/run.ts';
import type { IngestDocument } from './ingest/run.ts';
import type { Arm, Target } from './parts/arms.ts';
import type { Machine } from './parts/machine.ts';
import type { Range } from './core/statistics.ts';

/** The whole document, ready to print. */
export function renderDocument(document: IngestDocument | BillingDocument | EqualizerDocument): string {
  const { machine } = document;
  return [
    `${document.bench}${document.quick ? ', quick' : ''}: ${document.seconds} s, ${document.startedAt}`,
    `machine: ${machine.cores} × ${machine.model}, ${machine.memoryGiB} GiB, ${machine.kernel}, Node ${machine.node}`,
    `${postgresText(machine)}fdatasync of 4 KiB: ${machine.fdatasyncMs} ms`,
    '',
    table(
      ['arm', 'durable', 'result (median [min–max], n)', 'CPU µs a message', 'others'],
      document.arms.map(armRow),
    ),
    '',
    table(['target', 'value', 'target', ''], document.targets.map(targetRow)),
  ].join('\n');
}

function postgresText({ postgresql, postgresqlSettings = {} }: Machine): string {
  const settings = Object.entries(postgresqlSettings).map(([name, value]) => `${name}=${value}`);
  return postgresql === undefined ? '' : `PostgreSQL ${postgresql} (${settings.join(', ')}); `;
}

const units: Record<string, string> = {
  acksPerSecond: 'acks/s',
  committedPerSecond: 'committed/s',
  readingsPerSecond: 'readings/s',
  backlogSeconds: 's backlog',
  paymentsPerSecond: 'payments/s',
  replaysPerSecond: 'replays/s',
  answerP50Ms: 'ms p50',
  answerP99Ms: 'ms p99',
  ackP50Ms: 'ms ack p50',
  ackP99Ms: 'ms ack p99',
  wallSeconds: 's',
  megapixelsPerSecond: 'Mpx/s',
  uploadSeconds: 's upload',
  downloadSeconds: 's download',
  peakMiB: 'MiB at most',
  ratio: '× the other arm',
};

function armRow(arm: Arm): string[] {
  const results = Object.entries(units).flatMap(([field, unit]) => {
    const value = arm[field];
    return isRange(value) ? [`${rangeText(value)} ${unit}`] : [];
  });
  const warnings = [
    ...(arm['generatorLimited'] === true ? ['GENERATOR AT ITS LIMIT'] : []),
    ...(arm['rateKept'] === false ? ['RATE NOT KEPT'] : []),
  ];
  const result = 'failoverMs' in arm ? failoverText(arm) : [...results, ...warnings].join(', ');
  const others = typeof arm['othersCores'] === 'number' ? `${arm['othersCores']} cores` : '';
  return [arm.name, arm.durable ? 'yes' : 'no', result, cpuText(arm['cpuUsPerMessage']), others];
}

function failoverText({ n, failoverMs }: Arm): string {
  const { min, p50, p99, max } = failoverMs as Record<string, number | null>;
  return `p50 ${p50} ms, p99 ${p99} ms [${min}–${max}], n ${n as number}`;
}

function cpuText(value: unknown): string {
  if (typeof value !== 'object' || value === null) return '';
  return Object.entries(value)
    .map(([name, us]) => `${name} ${(us as number).toFixed(1)}`)
    .join(', ');
}

function targetRow({ name, value, target, ok }: Target): string[] {
  return [name, String(value), String(target), ok ? 'ok' : 'MISSED'];
}

function isRange(value: unknown): value is Range {
  return typeof value === 'object' && value !== null && 'median' in value && 'min' in value;
}

function rangeText({ n, min, median, max }: Range): string {
  return n === 1 ? `${median}` : `${median} [${min}–${max}, ${n}]`;
}

/** Rows under a head; a column is as wide as its longest cell. */
export function table(head: readonly string[], rows: readonly string[][]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return [line(head), widths.map((width) => '─'.repeat(width)).join('  '), ...rows.map(line)].join('\n');
}
