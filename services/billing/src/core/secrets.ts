/** What is derived from a payment's parameters and never shows them: fingerprint, processor key, encrypted token. */
import { createHash } from 'node:crypto';
import { createFingerprinter, createSealer, MeshError } from '@thermomesh/runtime';
import { keyText, type OperationKey, type Order } from './operation.ts';

/**
 * The key that the processor sees. It includes the caller: two callers that make the same UUID are two payments (I3).
 */
export function deriveProcessorKey({ caller, transactionId }: OperationKey, kind: Order['kind']): string {
  const digest = createHash('sha256').update(
    JSON.stringify(['thermomesh.billing', caller, kind, transactionId]),
  );
  return `tm_${digest.digest('base64url')}`;
}

export interface Secrets {
  /** Equal for equal parameters; keyed, so that a stolen table does not give tokens to a dictionary. Hex. */
  fingerprint(order: Order): string;
  /** AES-256-GCM, bound to its key: a box moved to another row does not open. */
  seal(key: OperationKey, paymentToken: string): Buffer;
  /** @throws MeshError `payments.token_unreadable` */
  open(key: OperationKey, box: Buffer): string;
}

export function createSecrets(secret: string): Secrets {
  const fingerprint = createFingerprinter(secret, 'thermomesh.billing.fingerprint');
  const sealer = createSealer(secret, 'thermomesh.billing.token');
  return {
    fingerprint: (order) => fingerprint(parametersOf(order)),
    seal: (key, paymentToken) => sealer.seal(keyText(key), paymentToken),
    open(key, box) {
      try {
        return sealer.open(keyText(key), box);
      } catch (error) {
        throw new MeshError(
          'payments.token_unreadable',
          'the stored payment token does not open: BILLING_SECRET is not the one it was sealed with',
          { cause: error },
        );
      }
    },
  };
}

/** In a fixed order: what counts as "the same parameters". */
function parametersOf(order: Order): (string | number)[] {
  return order.kind === 'charge'
    ? [order.kind, order.payer, order.amountMinor, order.currency, order.paymentToken]
    : [order.kind, order.paymentId, order.amountMinor];
}
