/** JSON documents in nodes. Pure. */

/** @param value any JSON value */
export function encode(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/**
 * Returns undefined if the data is not JSON: another client may have written it, which must not
 * make a recipe fail.
 */
export function decode(data: Buffer): unknown {
  try {
    return JSON.parse(data.toString()) as unknown;
  } catch {
    return undefined;
  }
}
