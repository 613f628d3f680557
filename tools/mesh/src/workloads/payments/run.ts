/** A payment run: customers, an optional storm, and the verdict. */
import { createWriteStream } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { PaymentsDocument } from '@thermomesh/contracts';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { summarise } from '../../durations.ts';
import { meshError } from '../../errors.ts';
import { keepOrders, type OrderKeeper } from '../../mesh/evidence/orders.ts';
import { openPool } from '../../mesh/database.ts';
import type { Mesh } from '../../mesh/mesh.ts';
import { readProcesses } from '../../mesh/status.ts';
import { openTimeline, type Timeline } from '../../mesh/timeline.ts';
import { until } from '../../mesh/until.ts';
import { createCheckoutClient } from './checkout-client.ts';
import { startCustomers, type Customers } from './customers.ts';
import { createGate, type Gate } from './gate.ts';
import { judgePayments, type Verdict } from '../../mesh/payments/judge.ts';
import { planOrders, type OrderPlan } from './orders.ts';
import { processorOf, type ProcessorClient } from '../../mesh/payments/processor-client.ts';
import { readRecords } from '../../mesh/payments/records.ts';
import { playStorm, type PaymentFault } from './storm.ts';

export interface PaymentsOptions {
  /** Number of requests of all customers together. */
  requests: number;
  /** Number of orders; each has one key, and its share of the requests. */
  uuids: number;
  /** Number of customers at the same time. */
  concurrency: number;
  chaos: boolean;
  seed: number;
  /** Time limit until every request has its 202. */
  timeoutMs: number;
  /** Time limit for one recovery of a process. */
  recoveryTimeoutMs: number;
  onProgress: (line: string) => void;
  /** Ends the run gracefully: no more orders begin, and those that have begun are judged. */
  interrupted: AbortSignal;
}

/**
 * Time within which every order must be final after the mesh is whole again and every order has all
 * its 202s except the last one; a later order is in doubt (I3, I5).
 */
export const settleTimeoutMs = 5_000;
/** Orders in doubt are waited for, so that the verdict can tell late from never. */
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
    throw meshError('mesh.not_up', `the mesh "${mesh.name}" is not up`);
  const processor = processorOf(mesh);
  // The Redis of containers cannot be reached from here, but it runs.
  if (run.redisUrl === null && !run.processes.some(({ role }) => role === 'redis'))
    throw meshError(
      'usage',
      `the mesh "${mesh.name}" has no Redis and therefore no checkout; see ${mesh.layout.logFile('events')}`,
    );
  await until({ what: 'the mesh to be ready', timeoutMs: readyTimeoutMs }, async () =>
    (await readProcesses(mesh)).every(({ ready }) => ready),
  );
  const plan = planOrders(options.seed, options.uuids, options.requests);
  const chargesBefore = (await processor.charges()).length;
  const timeline = openTimeline(mesh);
  const ledger = openLedger(timeline);
  const keeper = keepOrders(mesh, plan);
  const { httpUrl } = run;
  const { note } = ledger;
  const session = new Session({ mesh, httpUrl, processor, plan, options, timeline, note, keeper });
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
    keeper.close();
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
  /** Appends an event to the runner's own ledger. */
  note: (event: string, detail: Record<string, unknown>) => void;
  /** Keeps for "mesh verify" what the customers have seen. */
  keeper: OrderKeeper;
}

/** Runs customers and storm side by side, and waits at the end. */
class Session {
  readonly #giveUp = new AbortController();
  readonly #gate: Gate = createGate();
  readonly #faults = new Map<string, PaymentsDocument['blows'][number]>();
  readonly #customers: Customers;
  readonly #client: ReturnType<typeof createCheckoutClient>;
  readonly #parts: SessionParts;
  #allAccepted = false;
  #lastFault = '';
  #lastFinalAtMs = 0;

  constructor(parts: SessionParts) {
    const { mesh, httpUrl, plan, options, note, keeper } = parts;
    this.#parts = parts;
    this.#client = createCheckoutClient(httpUrl, deriveToken(mesh.secret, subjects.operator));
    this.#customers = startCustomers({
      client: this.#client,
      orders: plan.orders,
      concurrency: options.concurrency,
      mayBegin: (index) => this.#gate.pass(index),
      giveUp: this.#giveUp.signal,
      keeper,
      note: (event, { key, payer, amountMinor, currency }, detail = {}) => {
        if (event === 'final') this.#lastFinalAtMs = performance.now();
        note(event, { key, ...(event === 'sent' ? { payer, amountMinor, currency } : {}), ...detail });
      },
    });
  }

  async play(): Promise<Outcome> {
    const customers = this.#customers;
    const gate = this.#gate;
    const { options } = this.#parts;
    const startedAtMs = performance.now();
    const deadline = setTimeout(() => this.#end(), options.timeoutMs);
    const progress = setInterval(() => this.#report(), progressIntervalMs);
    options.interrupted.addEventListener('abort', () => gate.close(), { once: true });
    void customers.accepted.then(() => (this.#allAccepted = true));
    try {
      if (options.chaos) await this.#storm();
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
        attempts: this.#client.attempts,
        seconds,
        settledMs: settled ? Math.max(0, this.#lastFinalAtMs - quietFromMs) : null,
        blows: [...this.#faults.values()],
      };
    } finally {
      clearTimeout(deadline);
      clearInterval(progress);
      gate.close();
      this.#giveUp.abort();
      await customers.finished;
    }
  }

  async #storm(): Promise<void> {
    const { mesh, processor, options, plan, timeline } = this.#parts;
    const over = (roundsDone: number) =>
      options.interrupted.aborted || this.#giveUp.signal.aborted || (roundsDone > 0 && this.#allAccepted);
    await playStorm(
      mesh,
      processor,
      {
        seed: options.seed,
        recoveryTimeoutMs: options.recoveryTimeoutMs,
        onFault: (fault, { round, index, of }) => {
          if (round === 0) this.#gate.release(Math.ceil((plan.orders.length * (index + 1)) / of));
          this.#noteFault(fault);
        },
      },
      over,
    );
    timeline.note('storm.over');
  }

  #noteFault({ target, signal, pauseMs }: PaymentFault): void {
    const name = `${signal} ${target}`;
    const known = this.#faults.get(name) ?? { target, signal, times: 0 };
    known.times += 1;
    this.#faults.set(name, known);
    this.#lastFault = name;
    this.#parts.timeline.note('fault.injected', {
      target,
      signal,
      ...(signal === 'STOP' ? { pauseMs } : {}),
    });
  }

  #end(): void {
    this.#gate.close();
    this.#giveUp.abort();
  }

  #report(): void {
    const { acknowledged, final } = this.#customers.progress();
    const { requests, uuids, onProgress } = this.#parts.options;
    const fault = this.#lastFault === '' ? '' : `; ${this.#lastFault}`;
    onProgress(
      `${acknowledged} of ${requests} requests have a 202, ${final} of ${uuids} orders are final${fault}`,
    );
  }
}

/** Resolves after `ms` milliseconds, without keeping the process alive. */
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

/** Opens the runner's own ledger as a file; the verdict uses the same events from memory. */
function openLedger(timeline: Timeline) {
  const stream = createWriteStream(path.join(timeline.folder, 'payments.ndjson'));
  return {
    note: (event: string, detail: Record<string, unknown>) =>
      void stream.write(`${JSON.stringify({ atMs: Date.now(), event, ...detail })}\n`),
    close: async () => new Promise<void>((resolve) => stream.end(resolve)),
  };
}
