/** A payment run: customers, a storm if there shall be one, and the verdict. */
import { createWriteStream } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { PaymentsDocument } from '@thermomesh/contracts';
import { deriveToken, MeshError, subjects } from '@thermomesh/runtime';
import { summarise } from '../chaos/summary.ts';
import { openTimeline, type Timeline } from '../chaos/timeline.ts';
import { readProcesses, type Mesh } from '../client/mesh.ts';
import { until } from '../client/until.ts';
import { openPool } from '../verdict/verify.ts';
import { createCheckoutClient } from './checkout-client.ts';
import { startCustomers, type Customers } from './customers.ts';
import { createGate, type Gate } from './gate.ts';
import { judgePayments, type Verdict } from './judge.ts';
import { planOrders, type OrderPlan } from './orders.ts';
import { processorOf, type ProcessorClient } from './processor-client.ts';
import { readRecords } from './records.ts';
import { playStorm, type PaymentBlow } from './storm.ts';

export interface PaymentsOptions {
  /** Requests of all customers, each until it has a 202. */
  requests: number;
  /** Orders: each has one key, and its share of the requests. */
  uuids: number;
  /** Customers at once. */
  concurrency: number;
  chaos: boolean;
  seed: number;
  /** How long the requests may take until all have their 202. */
  timeoutMs: number;
  /** How long one part may take to be back. */
  recoveryTimeoutMs: number;
  onProgress: (line: string) => void;
  /** Ends it in order: no more orders, and a verdict on those that have begun. */
  interrupted: AbortSignal;
}

/**
 * Everything is final so long after the mesh is whole again (without chaos it always is) and every order has its 202s but the last,
 * whichever comes later; else it is in doubt (I3, I5).
 */
export const settleTimeoutMs = 5_000;
/** What is in doubt is waited for, so that the verdict can tell late from never. */
const lateTimeoutMs = 30_000;
const readyTimeoutMs = 60_000;
const progressIntervalMs = 1_000;
export const findingsMax = 20;

/**
 * Runs the customers and judges. A broken promise is a verdict, not an error.
 * @throws MeshError `usage` if this mesh has no checkout, `mesh.timeout` if a part does not recover
 */
export async function runPayments(mesh: Mesh, options: PaymentsOptions): Promise<PaymentsDocument> {
  const run = mesh.run();
  if (run === undefined || run.state === 'stopped')
    throw new MeshError('mesh.not_up', `the mesh "${mesh.name}" is not up`);
  const processor = processorOf(mesh);
  // That of containers is not in reach from here, but it is there.
  if (run.redisUrl === null && !run.processes.some(({ role }) => role === 'redis'))
    throw new MeshError(
      'usage',
      `the mesh "${mesh.name}" has no Redis and so no checkout: ${mesh.layout.logFile('events')} says why`,
    );
  await until({ what: 'the mesh to be ready', timeoutMs: readyTimeoutMs }, async () =>
    (await readProcesses(mesh)).every(({ ready }) => ready),
  );
  const plan = planOrders(options.seed, options.uuids, options.requests);
  const chargesBefore = (await processor.charges()).length;
  const timeline = openTimeline(mesh);
  const ledger = openLedger(timeline);
  const { httpUrl } = run;
  const session = new Session({ mesh, httpUrl, processor, plan, options, timeline, note: ledger.note });
  try {
    const outcome = await session.play();
    const pool = openPool(mesh);
    try {
      const verdict = judgePayments({
        orders: plan.orders,
        ...(await readRecords(pool, plan.payerPrefix)),
        ledger: (await processor.charges()).slice(chargesBefore),
        amounts: plan.amounts,
        late: outcome.late,
      });
      timeline.note('payments.judged', { ...verdict, findings: verdict.findings.slice(0, findingsMax) });
      return documentOf(verdict, outcome, options, timeline.folder);
    } finally {
      await pool.close();
    }
  } finally {
    await ledger.close();
    timeline.close([]);
  }
}

interface Outcome {
  late: ReadonlySet<string>;
  latencies: number[];
  finals: number[];
  attempts: number;
  seconds: number;
  settledMs: number | null;
  blows: PaymentsDocument['blows'];
}

interface SessionParts {
  mesh: Mesh;
  httpUrl: string;
  processor: ProcessorClient;
  plan: OrderPlan;
  options: PaymentsOptions;
  timeline: Timeline;
  /** Writes into the runner's own ledger. */
  note: (event: string, detail: Record<string, unknown>) => void;
}

/** The customers and the storm beside each other, and the waiting at the end. */
class Session {
  private readonly giveUp = new AbortController();
  private readonly gate: Gate = createGate();
  private readonly blows = new Map<string, PaymentsDocument['blows'][number]>();
  private readonly customers: Customers;
  private readonly client: ReturnType<typeof createCheckoutClient>;
  private readonly parts: SessionParts;
  private allAccepted = false;
  private lastBlow = '';
  private lastFinalAtMs = 0;

  constructor(parts: SessionParts) {
    const { mesh, httpUrl, plan, options, note } = parts;
    this.parts = parts;
    this.client = createCheckoutClient(httpUrl, deriveToken(mesh.secret, subjects.operator));
    this.customers = startCustomers({
      client: this.client,
      orders: plan.orders,
      concurrency: options.concurrency,
      mayBegin: (index) => this.gate.pass(index),
      giveUp: this.giveUp.signal,
      note: (event, { key, payer, amountMinor, currency }, detail = {}) => {
        if (event === 'final') this.lastFinalAtMs = performance.now();
        note(event, { key, ...(event === 'sent' ? { payer, amountMinor, currency } : {}), ...detail });
      },
    });
  }

  async play(): Promise<Outcome> {
    const { customers, gate, giveUp } = this;
    const { options } = this.parts;
    const startedAtMs = performance.now();
    const deadline = setTimeout(() => this.end(), options.timeoutMs);
    const progress = setInterval(() => this.report(), progressIntervalMs);
    options.interrupted.addEventListener('abort', () => gate.close(), { once: true });
    void customers.accepted.then(() => (this.allAccepted = true));
    try {
      if (options.chaos) await this.storm();
      else gate.release(options.uuids);
      await customers.accepted;
      const quietFromMs = performance.now();
      await Promise.race([customers.finished, elapsed(settleTimeoutMs)]);
      const late = customers.open();
      const seconds = (performance.now() - startedAtMs) / 1_000;
      await Promise.race([customers.finished, elapsed(lateTimeoutMs)]);
      const settled = customers.open().size === 0;
      return {
        late,
        latencies: customers.latencies,
        finals: customers.finals,
        attempts: this.client.attempts,
        seconds,
        settledMs: settled ? Math.max(0, this.lastFinalAtMs - quietFromMs) : null,
        blows: [...this.blows.values()],
      };
    } finally {
      clearTimeout(deadline);
      clearInterval(progress);
      gate.close();
      giveUp.abort();
      await customers.finished;
    }
  }

  private async storm(): Promise<void> {
    const { gate } = this;
    const { mesh, processor, options, plan, timeline } = this.parts;
    const over = (roundsDone: number) =>
      options.interrupted.aborted || this.giveUp.signal.aborted || (roundsDone > 0 && this.allAccepted);
    await playStorm(
      mesh,
      processor,
      {
        seed: options.seed,
        recoveryTimeoutMs: options.recoveryTimeoutMs,
        onBlow: (blow, { round, index, of }) => {
          if (round === 0) gate.release(Math.ceil((plan.orders.length * (index + 1)) / of));
          this.noteBlow(blow);
        },
      },
      over,
    );
    timeline.note('storm.over');
  }

  private noteBlow({ target, signal, pauseMs }: PaymentBlow): void {
    const name = `${signal} ${target}`;
    const known = this.blows.get(name) ?? { target, signal, times: 0 };
    known.times += 1;
    this.blows.set(name, known);
    this.lastBlow = name;
    this.parts.timeline.note('blow', { target, signal, ...(signal === 'STOP' ? { pauseMs } : {}) });
  }

  private end(): void {
    this.gate.close();
    this.giveUp.abort();
  }

  private report(): void {
    const { acknowledged, final } = this.customers.progress();
    const { requests, uuids, onProgress } = this.parts.options;
    const blow = this.lastBlow === '' ? '' : `; ${this.lastBlow}`;
    onProgress(
      `${acknowledged} of ${requests} requests have a 202, ${final} of ${uuids} orders are final${blow}`,
    );
  }
}

/** Nobody stays for it who has nothing else to do. */
const elapsed = (ms: number) => delay(ms, undefined, { ref: false });

function documentOf(
  { ok, findings, ...counts }: Verdict,
  outcome: Outcome,
  { seed }: PaymentsOptions,
  folder: string,
): PaymentsDocument {
  return {
    ok,
    ...counts,
    attempts: outcome.attempts,
    latencyMs: percentiles(outcome.latencies),
    finalMs: percentiles(outcome.finals),
    ordersPerSecond: outcome.seconds > 0 ? outcome.finals.length / outcome.seconds : 0,
    settledMs: outcome.settledMs,
    blows: outcome.blows,
    seed,
    findings: findings.slice(0, findingsMax),
    folder,
  };
}

function percentiles(values: number[]): PaymentsDocument['latencyMs'] {
  const found = summarise(values);
  return found === null
    ? { p50: null, p99: null, max: null }
    : { p50: found.p50, p99: found.p99, max: found.max };
}

/** The runner's own ledger, as lines; the verdict uses the same facts from memory. */
function openLedger(timeline: Timeline) {
  const stream = createWriteStream(path.join(timeline.folder, 'payments.ndjson'));
  return {
    note: (event: string, detail: Record<string, unknown>) =>
      void stream.write(`${JSON.stringify({ atMs: Date.now(), event, ...detail })}\n`),
    close: async () => new Promise<void>((resolve) => stream.end(resolve)),
  };
}
