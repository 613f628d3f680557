/** Small secrets at rest, sealed with AES-256-GCM, and fingerprints that do not show what they are of. */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  randomBytes,
  type KeyObject,
} from 'node:crypto';
import { MeshError } from './errors.ts';

const nonceBytes = 12;
const tagBytes = 16;
const keyBytes = 32;

/** Seals texts for one purpose. */
export interface Sealer {
  /** @param context what the box belongs to: one that is moved elsewhere does not open there */
  seal(context: string, text: string): Buffer;
  /** @throws MeshError `seal.unreadable` for another secret, another context or a damaged box */
  open(context: string, box: Buffer): string;
}

/** @param purpose makes the keys of different uses of one secret differ */
export function createSealer(secret: string, purpose: string): Sealer {
  const key = deriveKey(secret, purpose);
  return {
    seal(context, text) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(context));
      const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
      return Buffer.concat([nonce, cipher.getAuthTag(), sealed]);
    },
    open(context, box) {
      try {
        const nonce = box.subarray(0, nonceBytes);
        const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes })
          .setAAD(Buffer.from(context))
          .setAuthTag(box.subarray(nonceBytes, nonceBytes + tagBytes));
        const sealed = box.subarray(nonceBytes + tagBytes);
        return decipher.update(sealed, undefined, 'utf8') + decipher.final('utf8');
      } catch (error) {
        throw new MeshError('seal.unreadable', 'a sealed text does not open with this secret', {
          cause: error,
        });
      }
    },
  };
}

/**
 * A function that gives equal parameters, in their order, an equal text in hex. It is keyed: a stolen table does not give its
 * parameters to a dictionary.
 */
export function createFingerprinter(
  secret: string,
  purpose: string,
): (parameters: readonly (string | number | null)[]) => string {
  const key = deriveKey(secret, purpose);
  return (parameters) => createHmac('sha256', key).update(JSON.stringify(parameters)).digest('hex');
}

/** A key object: made anew from bytes at each use, it would cost more than the cipher does. */
function deriveKey(secret: string, purpose: string): KeyObject {
  return createSecretKey(Buffer.from(hkdfSync('sha256', secret, '', purpose, keyBytes)));
}
