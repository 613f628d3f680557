/** Every invariant that this mesh can be judged by. */
import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { InvariantVerdict, VerifyDocument } from '@thermomesh/contracts';
import { addComparisons, listLedgers, readLedger, type Comparison } from '@thermomesh/ledger';
import { MeshError, messageOf } from '@thermomesh/runtime';
import { createPool, type SqlPool } from '@thermomesh/sql';
import { untilDrained } from '../client/drained.ts';
import { sampleAccounts, type Mesh } from '../client/mesh.ts';
import { judgeBalance } from './balance.ts';
import { compareWithSql, describeFinding, keepsPromise } from './ledgers.ts';
import { judgeOneWriter } from './one-writer.ts';

export interface VerifyOptions {
  /** How long to wait for the backlog, and then for rest. */
  timeoutMs: number;
  onProgress?: (line: string) => void;
}

/** What was compared, beyond the verdicts. */
export interface Verification {
  document: VerifyDocument;
  /** All ledgers added up; undefined if there is none. */
  comparison: Comparison | undefined;
}

const statementTimeoutMs = 300_000;
/** A ledger that grew within this time is still being written. */
const stillWrittenMs = 3_000;

/** Waits for the backlog, then judges I1, I2 and I6. A part that cannot be judged is not ok: the detail says why. */
export async function verifyMesh(mesh: Mesh, options: VerifyOptions): Promise<Verification> {
  const invariants: InvariantVerdict[] = [];
  let backlog: string | undefined;
  await untilDrained(mesh, {
    timeoutMs: options.timeoutMs,
    onProgress: (remaining) => options.onProgress?.(`waiting for the backlog: ${remaining} to go`),
  }).catch((error: unknown) => (backlog = messageOf(error)));
  let comparison: Comparison | undefined;
  try {
    const pool = openPool(mesh);
    try {
      const first = await judgeLedgers(mesh, pool, options);
      comparison = first.comparison;
      // Until the backlog is drained a missing row is "not yet", which is no verdict.
      if (backlog !== undefined) first.verdict.detail += `; ${backlog}`;
      invariants.push({ ...first.verdict, ok: first.verdict.ok && backlog === undefined });
      options.onProgress?.('comparing the epochs of the batches');
      invariants.push(await judgeOneWriter(pool));
    } finally {
      await pool.close();
    }
  } catch (error) {
    for (const id of ['I1', 'I2']) {
      if (!invariants.some((verdict) => verdict.id === id))
        invariants.push({ id, ok: false, detail: `cannot be judged: ${messageOf(error)}` });
    }
  }
  options.onProgress?.('balancing the accounts');
  invariants.push(
    await judgeBalance({
      sample: async () => sampleAccounts(mesh),
      timeoutMs: Math.min(options.timeoutMs, 10_000),
    }),
  );
  return { document: { ok: invariants.every(({ ok }) => ok), invariants }, comparison };
}

/** A pool on the mesh's database. @throws MeshError `mesh.no_database` */
export function openPool(mesh: Mesh): SqlPool {
  const url = mesh.run()?.databaseUrl ?? null;
  if (url === null) throw new MeshError('mesh.no_database', `the mesh "${mesh.name}" was never up`);
  return createPool({ url, applicationName: 'mesh', connectionsMax: 2, statementTimeoutMs });
}

async function judgeLedgers(
  mesh: Mesh,
  pool: SqlPool,
  { onProgress }: VerifyOptions,
): Promise<{ verdict: InvariantVerdict; comparison: Comparison | undefined }> {
  const comparisons: Comparison[] = [];
  const notes: string[] = [];
  let ok = true;
  for (const file of existsSync(mesh.layout.ledgersDir) ? await listLedgers(mesh.layout.ledgersDir) : []) {
    const run = path.basename(file, path.extname(file));
    onProgress?.(`comparing the ledger ${run} with SQL`);
    const ledger = await readLedger(file);
    if (ledger.end === null && (await isGrowing(file))) {
      notes.push(`${run} is still being written and left out`);
      continue;
    }
    const comparison = await compareWithSql(ledger, pool);
    comparisons.push(comparison);
    const kept = keepsPromise(comparison, ledger.header.qos);
    ok &&= kept;
    if (!kept) notes.push(`${run}: ${comparison.examples.slice(0, 3).map(describeFinding).join('; ')}`);
    else if (comparison.goodRejected > 0)
      notes.push(`${run}: ${comparison.goodRejected} well-formed readings were rejected`);
  }
  const comparison = comparisons.length === 0 ? undefined : addComparisons(comparisons);
  const total =
    comparison === undefined
      ? 'no ledgers yet: "mesh load" writes one'
      : totals(comparison, comparisons.length);
  return { comparison, verdict: { id: 'I1', ok, detail: [total, ...notes].join('; ') } };
}

function totals(
  { acked, stored, rejected, lost, duplicated, corrupted }: Comparison,
  ledgers: number,
): string {
  return `${ledgers} ledger(s): ${acked} acked, ${stored} stored, ${rejected} rejected, ${lost} lost, ${duplicated} duplicated, ${corrupted} corrupted`;
}

async function isGrowing(file: string): Promise<boolean> {
  const { mtimeMs, size } = statSync(file);
  if (Date.now() - mtimeMs > stillWrittenMs) return false;
  await delay(stillWrittenMs);
  return statSync(file).size !== size;
}
