export { addComparisons, compare, loadDocument, type CompareOptions } from './compare.ts';
export { LedgerError, type LedgerFault } from './errors.ts';
export { ledgerExtension, listLedgers, openLedger, readLedger, type LedgerWriter } from './file.ts';
export { createLatencyHistogram, latencyOf, recordLatency } from './latency.ts';
export { fingerprint } from './lines.ts';
export { createLedgerParser, type Ledger, type LedgerParser } from './parse.ts';
export type * from './types.ts';
