/** Payment runs and the demonstration of call semantics as readable text. */
import type { PaymentFinding, PaymentsDocument, RpcSemanticsDocument } from '@thermomesh/contracts';
import { show, showMs, table } from './table.ts';

/** Renders one line that names an order. */
export function describePaymentFinding({ kind, key, detail }: PaymentFinding): string {
  return `${kind} ${key === '' ? '-' : key}: ${detail}`;
}

/** Renders the outcome of a payment run. */
export function renderPayments(document: PaymentsDocument): string {
  const { sums, latencyMs, finalMs } = document;
  const equal = sums.accepted === sums.ledger && sums.ledger === sums.books && sums.books === sums.checkouts;
  const latency = ({ p50, p99, max }: PaymentsDocument['latencyMs']) =>
    `p50 ${showMs(p50)}, p99 ${showMs(p99)}, max ${showMs(max)}`;
  return [
    `${document.ok ? 'PASSED' : 'FAILED'}: ${document.acknowledged} of ${document.requests} requests have a 202 (${document.attempts} calls), ${document.uuids} orders (${document.ordersPerSecond.toFixed(0)}/s)`,
    `accepted ${document.accepted}: charged ${document.charged}, declined ${document.declined}, failed ${document.failed}`,
    `lost ${document.lost}, doubled ${document.doubled}, differing ${document.differing}, in doubt ${document.inDoubt}`,
    `sums in minor units: ${equal ? `${sums.ledger}, the same in all four records` : `accepted ${sums.accepted}, ledger ${sums.ledger}, books ${sums.books}, checkouts ${sums.checkouts}`}`,
    `request → 202   ${latency(latencyMs)}`,
    `order → final   ${latency(finalMs)}; all final ${showMs(document.settledMs)} after the last fault`,
    ...(document.blows.length === 0
      ? []
      : [
          `faults: ${document.blows.map(({ target, signal, times }) => `${times} × ${signal} ${target}`).join(', ')}`,
        ]),
    `ledger, timeline and logs: ${show(document.folder)}`,
  ].join('\n');
}

/** Renders the table of `mesh demo rpc-semantics`. */
export function renderSemantics({ arms, calls, loss, seed }: RpcSemanticsDocument, colours: boolean): string {
  const rows = arms.map((arm) => [arm.name, arm.calls, arm.answered, arm.charged, arm.lost, arm.doubled]);
  return [
    `${calls} calls each over a link that loses ${Math.round(loss * 100)} % of the tries (seed ${seed}); charges by the processor's own ledger`,
    table(['call', 'calls', 'answered', 'charged', 'lost', 'doubled'], rows, colours),
  ].join('\n');
}
