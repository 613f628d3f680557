/** Two formats of the engine's answers. Pure. */

const frameHeadBytes = 8;

/**
 * The text of a log that was written without a terminal. A frame begins with one byte for the
 * stream, three zero bytes and four bytes for the length.
 */
export function framesOf(bytes: Buffer): string {
  const parts: Buffer[] = [];
  for (let at = 0; at + frameHeadBytes <= bytes.length;) {
    const length = bytes.readUInt32BE(at + 4);
    parts.push(bytes.subarray(at + frameHeadBytes, at + frameHeadBytes + length));
    at += frameHeadBytes + length;
  }
  return Buffer.concat(parts).toString();
}

const blockBytes = 512;

/** The plain files of a tar archive (ustar), by the last part of their names. */
export function filesOfTar(bytes: Buffer): Record<string, string> {
  const files: Record<string, string> = {};
  for (let at = 0; at + blockBytes <= bytes.length;) {
    const text = (from: number, length: number) =>
      bytes.toString('utf8', at + from, at + from + length).replace(/\0[^]*$/, '');
    const name = text(0, 100);
    if (name === '') break;
    const size = Number.parseInt(text(124, 12), 8);
    const isFile = ['0', ''].includes(text(156, 1));
    if (isFile)
      files[name.split('/').at(-1) ?? name] = bytes.toString('utf8', at + blockBytes, at + blockBytes + size);
    at += blockBytes + Math.ceil(size / blockBytes) * blockBytes;
  }
  return files;
}
