/** What customers have sent and read, kept for `mesh verify` (I3, I5). */
import type { Mesh } from '../mesh.ts';
import { openEvidence, readEvidence } from './files.ts';
import type { FinalAnswer, Order } from './order.ts';

export interface OrderKeeper {
  /** Call it before the first request of the order leaves. */
  sent(order: Order): void;
  accepted(order: Order, checkoutId: string): void;
  /** @param text the whole answer, which tells one answer from another */
  final(order: Order, text: string, answer: FinalAnswer): void;
  close(): void;
}

/** The orders of one run. */
export interface OrdersSeen {
  payerPrefix: string;
  orders: Order[];
}

/** A line of the file, after the header. */
type Line =
  | ({ event: 'sent' } & Pick<Order, 'key' | 'payer' | 'amountMinor' | 'currency'>)
  | { event: 'accepted'; key: string; checkoutId: string }
  | { event: 'final'; key: string; text: string; answer: FinalAnswer };

/** Begins the record of a run. */
export function keepOrders(mesh: Mesh, { payerPrefix }: Pick<OrdersSeen, 'payerPrefix'>): OrderKeeper {
  const writer = openEvidence(mesh, 'orders', { payerPrefix });
  const known = new Set<string>();
  const note = (line: Line) => {
    const text = JSON.stringify(line);
    // A customer reads the same answer many times; only a new one says something.
    if (known.has(text)) return;
    known.add(text);
    writer.note(line);
  };
  return {
    sent: ({ key, payer, amountMinor, currency }) =>
      note({ event: 'sent', key, payer, amountMinor, currency }),
    accepted: ({ key }, checkoutId) => note({ event: 'accepted', key, checkoutId }),
    final: ({ key }, text, answer) => note({ event: 'final', key, text, answer }),
    close: () => writer.close(),
  };
}

/**
 * Reads the records of all runs.
 * @throws MeshError `evidence.damaged`
 */
export function readOrders(mesh: Mesh): OrdersSeen[] {
  return readEvidence(mesh, 'orders').map(([header, ...lines]) => {
    const orders = new Map<string, Order>();
    for (const line of lines as unknown as Line[]) add(orders, line);
    const { payerPrefix = '' } = (header ?? {}) as { payerPrefix?: string };
    return { payerPrefix, orders: [...orders.values()] };
  });
}

function add(orders: Map<string, Order>, line: Line): void {
  if (line.event === 'sent') {
    const { key, payer, amountMinor, currency } = line;
    orders.set(key, {
      key,
      payer,
      amountMinor,
      currency,
      paymentToken: '',
      requests: 0,
      acknowledged: 0,
      checkoutIds: new Set(),
      finals: new Map(),
      refused: undefined,
    });
    return;
  }
  const order = orders.get(line.key);
  if (line.event === 'accepted') order?.checkoutIds.add(line.checkoutId);
  else order?.finals.set(line.text, line.answer);
}
