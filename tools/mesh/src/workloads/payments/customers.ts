/**
 * The customers: each takes an order, sends it several times at once and then again, and follows it
 * to its final answer.
 */
import { messageOf, sleep } from '@thermomesh/runtime';
import type { OrderKeeper } from '../../mesh/evidence/orders.ts';
import type { CheckoutClient } from './checkout-client.ts';
import { noteAnswer, type Order } from './orders.ts';

export interface CustomersOptions {
  client: CheckoutClient;
  orders: readonly Order[];
  /** Number of customers at the same time; each has one order at a time. */
  concurrency: number;
  /**
   * Resolves with true when order number `index` may begin, and with false if no more orders begin.
   */
  mayBegin: (index: number) => Promise<boolean>;
  /**
   * Ends all waiting; requests without a 202 and orders without a final answer stay as they are.
   */
  giveUp: AbortSignal;
  /** The runner's own ledger, which receives each event before anything else happens. */
  note: (event: 'sent' | 'accepted' | 'final', order: Order, detail?: Record<string, unknown>) => void;
  /** Keeps what the customers have seen, for later verdicts. */
  keeper?: Omit<OrderKeeper, 'close'> | undefined;
}

export interface Customers {
  /**
   * Settles when every order that has begun has all its 202s except the last one, which follows its
   * final answer.
   */
  accepted: Promise<void>;
  /** Settles when every order is final or given up. */
  finished: Promise<void>;
  progress(): { acknowledged: number; final: number };
  /** Time from each request to its 202, in milliseconds. */
  latencies: number[];
  /** Time from the first request of each order to its final answer, in milliseconds. */
  finals: number[];
  /** Keys of accepted orders that have no final answer at this moment. */
  open(): Set<string>;
}

const lookFirstMs = 30;
const lookMaxMs = 400;
const lookGrowth = 1.5;

export function startCustomers(options: CustomersOptions): Customers {
  const { orders, concurrency } = options;
  const shop = new Shop(options);
  const accepted = Promise.withResolvers<undefined>();
  let next = 0;
  let busy = 0;
  let noMore = false;
  const settleAccepted = () => {
    // Checked here too, because all customers may still follow their last order.
    if ((noMore || next >= orders.length) && busy === 0) accepted.resolve(undefined);
  };
  async function customer(): Promise<void> {
    for (;;) {
      const index = next++;
      const order = orders[index];
      if (order === undefined) break;
      busy += 1;
      if (!(await options.mayBegin(index))) {
        busy -= 1;
        break;
      }
      const done = await shop.order(order);
      busy -= 1;
      settleAccepted();
      await shop.follow(order, done);
    }
    noMore = true;
    settleAccepted();
  }
  const finished = Promise.all(Array.from({ length: Math.min(concurrency, orders.length) }, customer)).then(
    () => undefined,
  );
  return {
    accepted: accepted.promise,
    finished,
    progress: () => ({ acknowledged: shop.latencies.length, final: shop.finals.length }),
    latencies: shop.latencies,
    finals: shop.finals,
    open: () => new Set(orders.filter(isOpen).map(({ key }) => key)),
  };
}

const isOpen = ({ checkoutIds, finals }: Order) => checkoutIds.size > 0 && finals.size === 0;

class Shop {
  readonly latencies: number[] = [];
  readonly finals: number[] = [];
  readonly #options: CustomersOptions;

  constructor(options: CustomersOptions) {
    this.#options = options;
  }

  /**
   * Sends all requests except the last one: half of them at once, the others one after the other,
   * like a customer who has lost the answers.
   */
  async order(order: Order): Promise<{ sentAtMs: number; left: number }> {
    const sentAtMs = performance.now();
    this.#options.note('sent', order);
    this.#options.keeper?.sent(order);
    const before = Math.max(1, order.requests - 1);
    const atOnce = Math.ceil(before / 2);
    await Promise.all(Array.from({ length: atOnce }, async () => this.#request(order)));
    for (let sent = atOnce; sent < before; sent += 1) await this.#request(order);
    return { sentAtMs, left: order.requests - before };
  }

  /**
   * Follows the order to its final answer, then sends the last requests, which must name the same
   * checkout.
   */
  async follow(order: Order, { sentAtMs, left }: { sentAtMs: number; left: number }): Promise<void> {
    const [checkoutId] = order.checkoutIds;
    if (checkoutId !== undefined && (await this.#untilFinal(order, checkoutId)))
      this.finals.push(performance.now() - sentAtMs);
    for (let sent = 0; sent < left; sent += 1) await this.#request(order);
    // Reads once more, because a final answer must never change.
    if (checkoutId !== undefined && order.finals.size > 0) await this.#look(order, checkoutId);
  }

  async #request(order: Order): Promise<void> {
    const { client, giveUp, note, keeper } = this.#options;
    const sentAtMs = performance.now();
    try {
      const { checkoutId } = await client.checkout(order, giveUp);
      order.acknowledged += 1;
      order.checkoutIds.add(checkoutId);
      this.latencies.push(performance.now() - sentAtMs);
      note('accepted', order, { checkoutId });
      keeper?.accepted(order, checkoutId);
    } catch (error) {
      if (!giveUp.aborted) order.refused = messageOf(error);
    }
  }

  async #untilFinal(order: Order, checkoutId: string): Promise<boolean> {
    const { giveUp } = this.#options;
    let pauseMs = lookFirstMs;
    while (!giveUp.aborted && order.refused === undefined) {
      if (await this.#look(order, checkoutId)) return true;
      await sleep(pauseMs, giveUp);
      pauseMs = Math.min(lookMaxMs, pauseMs * lookGrowth);
    }
    return false;
  }

  async #look(order: Order, checkoutId: string): Promise<boolean> {
    try {
      const view = await this.#options.client.look(checkoutId);
      if (view === undefined || !noteAnswer(order, view)) return false;
      this.#options.note('final', order, { status: view.status, transactionId: view.transactionId });
      for (const [text, answer] of order.finals) this.#options.keeper?.final(order, text, answer);
      return true;
    } catch (error) {
      // For example, the checkout of a 202 does not exist.
      order.refused = messageOf(error);
      return false;
    }
  }
}
