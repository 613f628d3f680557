/** Writes the certificates that Node trusts in the format of Java (JKS version 2). */
import { createHash, randomBytes } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import { getCACertificates } from 'node:tls';

const magic = 0xfeed_feed;
const version = 2;
const trustedCertificateTag = 2;
const password = 'changeit';

/**
 * Writes the certificates that Node trusts, the machine's own among them (`NODE_EXTRA_CA_CERTS`,
 * the system's store), to `file`.
 * @returns `file`
 */
export async function ensureTrustStore(file: string): Promise<string> {
  const pem = new Set([...getCACertificates('default'), ...getCACertificates('system')]);
  const building = `${file}.${randomBytes(4).toString('hex')}`;
  await writeFile(building, trustStore([...pem].map(derOf)));
  await rename(building, file);
  return file;
}

/**
 * Builds a key store that contains trusted certificates only. Layout:
 * `sun.security.provider.JavaKeyStore`; its digest covers the password in UTF-16, the text "Mighty
 * Aphrodite" and the content.
 * @param certificates in DER
 */
export function trustStore(certificates: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt32BE(magic, 0);
  head.writeUInt32BE(version, 4);
  head.writeUInt32BE(certificates.length, 8);
  const content = Buffer.concat([head, ...certificates.map(entry)]);
  const key = Buffer.from(password, 'utf16le').swap16();
  const digest = createHash('sha1').update(key).update('Mighty Aphrodite').update(content).digest();
  return Buffer.concat([content, digest]);
}

function entry(certificate: Buffer, index: number): Buffer {
  const tag = Buffer.alloc(4);
  tag.writeUInt32BE(trustedCertificateTag);
  const createdAt = Buffer.alloc(8);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(certificate.length);
  return Buffer.concat([tag, text(`ca${index}`), createdAt, text('X.509'), length, certificate]);
}

/** As `DataOutputStream.writeUTF` writes ASCII. */
function text(value: string): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(value.length);
  return Buffer.concat([length, Buffer.from(value, 'ascii')]);
}

function derOf(pem: string): Buffer {
  return Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
}
