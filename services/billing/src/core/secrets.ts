/** What is derived from a payment's parameters and never shows them: fingerprint, processor key, encrypted token. */
import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { MeshError } from '@thermomesh/runtime';
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

const nonceBytes = 12;
const tagBytes = 16;

export function createSecrets(secret: string): Secrets {
  const derive = (purpose: string) =>
    Buffer.from(hkdfSync('sha256', secret, '', `thermomesh.billing.${purpose}`, 32));
  const fingerprintKey = derive('fingerprint');
  const tokenKey = derive('token');
  return {
    fingerprint: (order) =>
      createHmac('sha256', fingerprintKey)
        .update(JSON.stringify(parametersOf(order)))
        .digest('hex'),
    seal(key, paymentToken) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv('aes-256-gcm', tokenKey, nonce).setAAD(Buffer.from(keyText(key)));
      const text = Buffer.concat([cipher.update(paymentToken, 'utf8'), cipher.final()]);
      return Buffer.concat([nonce, cipher.getAuthTag(), text]);
    },
    open(key, box) {
      try {
        const decipher = createDecipheriv('aes-256-gcm', tokenKey, box.subarray(0, nonceBytes), {
          authTagLength: tagBytes,
        })
          .setAAD(Buffer.from(keyText(key)))
          .setAuthTag(box.subarray(nonceBytes, nonceBytes + tagBytes));
        return (
          decipher.update(box.subarray(nonceBytes + tagBytes), undefined, 'utf8') + decipher.final('utf8')
        );
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
