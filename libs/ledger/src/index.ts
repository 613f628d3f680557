/** The evidence outside the system: what was sent and acknowledged. README.md is the way in. */
export { addComparisons, compare, loadDocument, type CompareOptions } from './compare.ts';
export { LedgerError, type LedgerErrorCode } from './errors.ts';
export { ledgerExtension, listLedgers, openLedger, readLedger, type LedgerWriter } from './file.ts';
export { createLatencyHistogram, latencyOf, recordLatency } from './latency.ts';
export { fingerprint } from './lines.ts';
export { openRotatingLedger, type RotatingLedger, type RotatingLedgerOptions } from './rotating.ts';
export { keepWithin } from './retention.ts';
export { createLedgerParser, type Ledger, type LedgerParser } from './parse.ts';
export type * from './types.ts';
