/** Makes the same calls under each kind of call semantics, over the same lossy link. */
import { randomUUID } from 'node:crypto';
import { BillingNoAnswerError, createBillingClient } from '@thermomesh/billing-client';
import type { PaymentRequest, RpcSemanticsDocument } from '@thermomesh/contracts';
import { startLossyProxy, type LossyProxy } from '@thermomesh/links';
import { freePort } from '@thermomesh/servers';
import { processorKeyOf } from '../mesh/payments/judge.ts';
import { arms, countArm, fatesOf, keepsPromises, type Arm, type CallOutcome } from './arms.ts';
import type { DemoServers } from './servers.ts';

export interface RpcSemanticsOptions {
  calls: number;
  /** Share of the tries that the link loses, a third each: refused, request lost, reply lost. */
  loss: number;
  seed: number;
  onProgress: (line: string) => void;
}

/**
 * Number of simultaneous calls. Each has a link of its own, so that no call takes the fate of
 * another one.
 */
const lanes = 8;
const backoff = { backoffFirstMs: 2, backoffMaxMs: 20 };
const deadlineMs = 120_000;
const caller = 'operator';

/**
 * Runs the calls of each kind, and counts the charges in the processor's own ledger.
 * @throws BillingRefusedError if billing accepts no such payments at all
 */
export async function demonstrateSemantics(
  servers: DemoServers,
  options: RpcSemanticsOptions,
): Promise<RpcSemanticsDocument> {
  const { calls, loss, seed } = options;
  const links = await Promise.all(
    Array.from({ length: Math.min(lanes, calls) }, async () => startLossyProxy(servers.billingPort)),
  );
  const refusedUrl = `http://127.0.0.1:${await freePort()}`;
  try {
    const outcomes: CallOutcome[][] = [];
    for (const arm of arms) {
      options.onProgress(`${arm.name}: ${calls} calls`);
      outcomes.push(await playArm(servers, arm, options, links, refusedUrl));
    }
    const charges = new Map<string, number>();
    for (const { key, status } of await servers.processor.charges()) {
      const derived = key.split('/')[0] ?? key;
      if (status === 'charged') charges.set(derived, (charges.get(derived) ?? 0) + 1);
    }
    const counts = arms.map(({ name }, index) =>
      countArm(name, outcomes[index] ?? [], (id) => charges.get(processorKeyOf(id, caller)) ?? 0),
    );
    return { ok: keepsPromises(counts), calls, loss, seed, arms: counts };
  } finally {
    await Promise.all(links.map(async (link) => link.close()));
  }
}

async function playArm(
  { token }: DemoServers,
  arm: Arm,
  { calls, loss, seed }: RpcSemanticsOptions,
  links: readonly LossyProxy[],
  refusedUrl: string,
): Promise<CallOutcome[]> {
  const outcomes: CallOutcome[] = [];
  let next = 0;
  await Promise.all(
    links.map(async (link) => {
      for (let call = next++; call < calls; call = next++) {
        const fates = fatesOf(seed, call, loss);
        link.lose(...fates.filter((fate) => fate !== 'refused'));
        // Each try goes to the next address, so the address decides its fate.
        const urls = fates.map((fate) => (fate === 'refused' ? refusedUrl : link.url));
        outcomes[call] = await callOnce(urls, token, arm);
      }
    }),
  );
  return outcomes;
}

async function callOnce(urls: string[], token: string, { semantics, uuid }: Arm): Promise<CallOutcome> {
  const transactionId = randomUUID();
  const transactionIds = uuid ? [transactionId] : [];
  const client = createBillingClient({
    urls,
    token,
    deadlineMs,
    ...backoff,
    ...(uuid ? {} : { unsafeKeyPerTry: () => noteNew(transactionIds) }),
  });
  const request: PaymentRequest = {
    payer: 'rpc-semantics',
    amountMinor: 100,
    currency: 'EUR',
    paymentToken: 'tok_rpc_semantics',
  };
  try {
    await client.pay(transactionId, request, { semantics });
    return { answered: true, transactionIds };
  } catch (error) {
    if (!(error instanceof BillingNoAnswerError)) throw error;
    return { answered: false, transactionIds };
  }
}

function noteNew(ids: string[]): string {
  const id = randomUUID();
  ids.push(id);
  return id;
}
