/**
 * The statistics of a load run: progress lines for stderr while it runs, and a summary document for
 * stdout at its end.
 */
import type { Latency } from '@thermomesh/contracts';
import { createLatencyHistogram, latencyOf, recordLatency, type LedgerWriter } from '@thermomesh/ledger';

/** The summary document. */
export interface LoadSummary {
  runId: string;
  /** Path of the ledger file. */
  ledger: string;
  sent: number;
  acked: number;
  /** Sent at QoS 1 and not acknowledged; the devices would send these again. */
  unacked: number;
  resent: number;
  poisoned: number;
  /** Time from the first send to the PUBACK. */
  ackMs: Latency;
  /** The rate that was reached. */
  ratePerSecond: number;
  targetRatePerSecond: number;
  /** Duration of sending. */
  seconds: number;
  reconnects: number;
  outOfOrderAcks: number;
  interrupted: boolean;
  perSecond: { sent: number; acked: number }[];
}

/** Counts what a run sends and what is acknowledged. */
export class LoadReport {
  readonly #ledger: LedgerWriter;
  readonly #ack = createLatencyHistogram();
  readonly #perSecond: { sent: number; acked: number }[] = [];
  #lastSentUs = 0;

  constructor(ledger: LedgerWriter) {
    this.#ledger = ledger;
  }

  sent(count: number, atUs: number): void {
    this.#second(atUs).sent += count;
    this.#lastSentUs = atUs;
  }

  acked(sentUs: number, atUs: number): void {
    recordLatency(this.#ack, atUs - sentUs);
    this.#second(atUs).acked++;
  }

  /** Returns a progress line. */
  line(atUs: number, up: number, devices: number): string {
    const { sent, acked, resent } = this.#ledger.counts;
    const last = this.#perSecond[Math.floor(atUs / 1e6) - 1] ?? { sent: 0, acked: 0 };
    const again = resent > 0 ? `, ${resent} resent` : '';
    return `${(atUs / 1e6).toFixed(0)} s: ${sent} sent (${last.sent}/s), ${acked} acked (${last.acked}/s)${again}, ${up}/${devices} devices up`;
  }

  /**
   * Returns the summary. `plannedSeconds` is the planned duration of sending, or less if a signal
   * ended the run.
   */
  summary(run: {
    runId: string;
    qos: 0 | 1;
    targetRatePerSecond: number;
    plannedSeconds: number;
    reconnects: number;
    outOfOrderAcks: number;
    interrupted: boolean;
  }): LoadSummary {
    const { sent, acked, resent, poisoned } = this.#ledger.counts;
    const seconds = Math.max(run.plannedSeconds, this.#lastSentUs / 1e6);
    return {
      runId: run.runId,
      ledger: this.#ledger.file,
      sent,
      acked,
      unacked: run.qos === 1 ? sent - acked : 0,
      resent,
      poisoned,
      ackMs: latencyOf(this.#ack),
      ratePerSecond: seconds > 0 ? round(sent / seconds) : 0,
      targetRatePerSecond: run.targetRatePerSecond,
      seconds: round(seconds),
      reconnects: run.reconnects,
      outOfOrderAcks: run.outOfOrderAcks,
      interrupted: run.interrupted,
      perSecond: this.#perSecond,
    };
  }

  #second(atUs: number): { sent: number; acked: number } {
    const index = Math.max(0, Math.floor(atUs / 1e6));
    while (this.#perSecond.length <= index) this.#perSecond.push({ sent: 0, acked: 0 });
    return this.#perSecond[index] ?? { sent: 0, acked: 0 };
  }
}

/** Returns the summary as text. */
export function describeSummary(summary: LoadSummary): string {
  const { ackMs } = summary;
  const ms = (value: number | null) => (value === null ? '-' : `${value.toFixed(1)} ms`);
  return [
    `run        ${summary.runId}`,
    `sent       ${summary.sent} (${summary.poisoned} of them poison), ${summary.ratePerSecond}/s of ${summary.targetRatePerSecond}/s asked for`,
    `acked      ${summary.acked}, ${summary.unacked} without an answer, ${summary.resent} resent`,
    `ack time   p50 ${ms(ackMs.p50)}, p99 ${ms(ackMs.p99)}, max ${ms(ackMs.max)}`,
    `reconnects ${summary.reconnects}`,
    `ledger     ${summary.ledger}`,
  ].join('\n');
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
