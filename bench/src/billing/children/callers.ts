/**
 * Callers that pay. Each has one open payment, and begins the next one when it has the answer.
 */
import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { percentile } from '../../core/statistics.ts';
import { serve } from '../../children/serve.ts';
import { Connection, type HttpAnswer } from './connection.ts';

export interface ConnectArgs {
  host: string;
  port: number;
  concurrent: number;
  /** Bearer token. */
  token: string;
}

/** The answers since `mark`. */
export interface CallersReading {
  seconds: number;
  answered: number;
  answerMs: { p50: number | null; p99: number | null; max: number | null };
  /** Share of the time in which the callers' thread was busy. */
  busy: number;
}

let connections: Connection[] = [];
let target: ConnectArgs;
/** Transaction UUIDs whose final answer has come. */
const accepted: string[] = [];
let running = false;
let loops: Promise<unknown> = Promise.resolve();
let markedAtMs = 0;
let idle = performance.eventLoopUtilization();
let latenciesMs: number[] = [];

serve({
  async connect(args: ConnectArgs) {
    target = args;
    connections = await Promise.all(
      Array.from({ length: args.concurrent }, async () => Connection.open(args.host, args.port)),
    );
  },
  /** Sends new payments, or repeats answered ones, until `pause`. */
  send({ replay }: { replay: boolean }) {
    running = true;
    const known = accepted.length;
    loops = Promise.all(
      connections.map(async (connection, index) => {
        for (let turn = index; running; turn += connections.length) {
          const key = replay ? accepted[turn % known]! : randomUUID();
          const startedAtMs = performance.now();
          check(await connection.send(requestOf(key)), replay);
          latenciesMs.push(performance.now() - startedAtMs);
          if (!replay) accepted.push(key);
        }
      }),
    );
    // `pause` rethrows the error.
    loops.catch(() => undefined);
  },
  mark() {
    markedAtMs = performance.now();
    idle = performance.eventLoopUtilization();
    latenciesMs = [];
  },
  read(): CallersReading {
    const sorted = [...latenciesMs].sort((a, b) => a - b);
    const at = (p: number) => (sorted.length === 0 ? null : percentile(sorted, p));
    return {
      seconds: (performance.now() - markedAtMs) / 1000,
      answered: sorted.length,
      answerMs: { p50: at(50), p99: at(99), max: at(100) },
      busy: performance.eventLoopUtilization(idle).utilization,
    };
  },
  /** Stops sending, and resolves when every open payment is answered. */
  async pause() {
    running = false;
    await loops;
  },
  accepted: () => accepted,
});

function check({ status, replayed }: HttpAnswer, replay: boolean): void {
  if (status !== 201 || replayed !== replay)
    throw new Error(`unexpected answer: status ${status}${replayed ? ', replayed' : ''}`);
}

/** The request of a payment; all of its parameters follow from the key. */
function requestOf(key: string): string {
  const body = `{"payer":"payer-${key.slice(0, 2)}","amountMinor":1250,"currency":"EUR","paymentToken":"tok_${key.slice(0, 8)}"}`;
  return (
    `POST /v1/payments HTTP/1.1\r\nhost: ${target.host}\r\nauthorization: Bearer ${target.token}\r\n` +
    `content-type: application/json\r\nidempotency-key: ${key}\r\ncontent-length: ${body.length}\r\n\r\n${body}`
  );
}
