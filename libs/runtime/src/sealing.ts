/**
 * Seals small secrets at rest with AES-256-GCM, and makes keyed fingerprints that do not reveal
 * their input.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  randomBytes,
  type KeyObject,
} from 'node:crypto';
import { runtimeError } from './errors.ts';

const nonceBytes = 12;
const tagBytes = 16;
const keyBytes = 32;

/** Seals and opens texts for one purpose. */
export interface Sealer {
  /** @param context names the place of the box: it does not open in another context */
  seal(context: string, text: string): Buffer;
  /** @throws MeshError `seal.unreadable` for another secret, another context or a damaged box */
  open(context: string, box: Buffer): string;
}

/**
 * Makes a sealer.
 * @param purpose separates the keys of different uses of one secret
 */
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
        throw runtimeError('seal.unreadable', 'the sealed text cannot be opened with this secret', {
          cause: error,
        });
      }
    },
  };
}

/**
 * Makes a function that maps a list of parameters to a fingerprint in hex. Equal lists have equal
 * fingerprints. The fingerprint is keyed: a dictionary attack on a stolen table does not reveal the
 * parameters.
 */
export function createFingerprinter(
  secret: string,
  purpose: string,
): (parameters: readonly (string | number | null)[]) => string {
  const key = deriveKey(secret, purpose);
  return (parameters) => createHmac('sha256', key).update(JSON.stringify(parameters)).digest('hex');
}

/** Derives a key object once: making one from bytes at each use would cost more than the cipher. */
function deriveKey(secret: string, purpose: string): KeyObject {
  return createSecretKey(Buffer.from(hkdfSync('sha256', secret, '', purpose, keyBytes)));
}
