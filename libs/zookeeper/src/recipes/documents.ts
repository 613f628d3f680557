/** JSON in nodes. Pure. */

/** @param value anything that JSON can say */
export function encode(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** Undefined if it is no JSON: whoever else wrote there is no reason to fail. */
export function decode(data: Buffer): unknown {
  try {
    return JSON.parse(data.toString()) as unknown;
  } catch {
    return undefined;
  }
}
