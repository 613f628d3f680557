/** The verdict on one load: its ledger compared with what PostgreSQL holds. */
import type { LoadDocument } from '@thermomesh/contracts';
import { loadDocument, readLedger, type Comparison } from '@thermomesh/ledger';
import { messageOf } from '@thermomesh/runtime';
import { openPool } from '../mesh/database.ts';
import { untilDrained } from '../mesh/drained.ts';
import type { Mesh } from '../mesh/mesh.ts';
import { compareWithSql, keepsPromise } from './ledgers.ts';

/** A load that has ended. */
export interface JudgedLoad {
  /** The file of its ledger. */
  ledger: string;
  ratePerSecond: number;
}

export interface LoadVerdict {
  document: LoadDocument;
  comparison: Comparison;
  /** False if a promise is broken. */
  ok: boolean;
  /** Why the numbers may not be final; undefined if they are. */
  caveat: string | undefined;
}

/** Waits until the load is drained, then compares its ledger with SQL. */
export async function judgeLoad(
  mesh: Mesh,
  { ledger: file, ratePerSecond }: JudgedLoad,
  drainTimeoutMs: number,
  onProgress?: (remaining: number) => void,
): Promise<LoadVerdict> {
  let caveat: string | undefined;
  await untilDrained(mesh, {
    timeoutMs: drainTimeoutMs,
    ...(onProgress === undefined ? {} : { onProgress }),
  }).catch((error: unknown) => (caveat = messageOf(error)));
  const ledger = await readLedger(file);
  const pool = openPool(mesh);
  try {
    const comparison = await compareWithSql(ledger, pool);
    const document = loadDocument(comparison, { ratePerSecond });
    return {
      document,
      comparison,
      ok: keepsPromise(comparison, ledger.header.qos) && caveat === undefined,
      caveat,
    };
  } finally {
    await pool.close();
  }
}
