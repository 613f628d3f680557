/** What can go wrong with a document of this package. */

/** Every code. */
export const errorCodes = {
  'record.too_large': { retriable: false },
} as const satisfies Record<string, { retriable: boolean }>;

/** A record that Kafka must not carry: content of that size belongs into the blob store. */
export class RecordTooLargeError extends Error {
  readonly code = 'record.too_large' satisfies keyof typeof errorCodes;
  readonly retriable = errorCodes['record.too_large'].retriable;
  /** The size of the record. */
  readonly bytes: number;

  /** @param what names the record in the message */
  constructor(what: string, { bytes, bytesMax }: { bytes: number; bytesMax: number }) {
    super(`${what} has ${bytes} bytes, more than ${bytesMax}`);
    this.name = 'RecordTooLargeError';
    this.bytes = bytes;
  }
}
