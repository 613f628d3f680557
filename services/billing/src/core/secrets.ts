/**
 * Values that are derived from a payment's parameters and do not reveal them: the fingerprint, the
 * processor key and the encrypted token.
 */
import { createHash } from 'node:crypto';
import { createFingerprinter, createSealer } from '@thermomesh/runtime';
import { billingError } from './errors.ts';
import { keyText, type OperationKey, type Order } from './operation.ts';

/**
 * Derives the key that the processor sees. It includes the caller, so the same UUID of two callers
 * makes two payments (I3).
 */
export function deriveProcessorKey({ caller, transactionId }: OperationKey, kind: Order['kind']): string {
  const digest = createHash('sha256').update(
    JSON.stringify(['thermomesh.billing', caller, kind, transactionId]),
  );
  return `tm_${digest.digest('base64url')}`;
}

/** The functions that use BILLING_SECRET. */
export interface Secrets {
  /**
   * Returns a keyed hash of the parameters, in hex. Because it is keyed, a stolen table does not
   * reveal tokens to a dictionary attack.
   */
  fingerprint(order: Order): string;
  /** Encrypts the token with AES-256-GCM, bound to its key: in another row it cannot be opened. */
  seal(key: OperationKey, paymentToken: string): Buffer;
  /** Decrypts a token. @throws MeshError `payments.token_unreadable` */
  open(key: OperationKey, box: Buffer): string;
}

/** Creates the functions that use BILLING_SECRET. */
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
        throw billingError(
          'payments.token_unreadable',
          'the stored payment token cannot be decrypted: BILLING_SECRET is not the secret it was encrypted with',
          { cause: error },
        );
      }
    },
  };
}

/** Lists what counts as "the same parameters", in a fixed order. */
function parametersOf(order: Order): (string | number)[] {
  return order.kind === 'charge'
    ? [order.kind, order.payer, order.amountMinor, order.currency, order.paymentToken]
    : [order.kind, order.paymentId, order.amountMinor];
}
