/** Judges I1: the ledgers of all loads and of the fleet against PostgreSQL. */
import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import type { InvariantVerdict } from '@thermomesh/contracts';
import { addComparisons, listLedgers, readLedger, type Comparison, type Ledger } from '@thermomesh/ledger';
import { codeOf, messageOf } from '@thermomesh/runtime';
import type { SqlPool } from '@thermomesh/sql';
import { untilDrained } from '../mesh/drained.ts';
import type { Mesh } from '../mesh/mesh.ts';
import { compareWithSql, describeFinding, keepsPromise } from './ledgers.ts';
import { broken, kept, notJudged } from './verdicts.ts';

export interface StoredOptions {
  /** Time limit for the drain of what a ledger holds that is still being written. */
  timeoutMs: number;
  onProgress?: ((line: string) => void) | undefined;
}

export interface StoredVerdict {
  verdict: InvariantVerdict;
  /** The sum over all ledgers; undefined if there are none. */
  comparison: Comparison | undefined;
  /** The sum over those that are still being written; undefined if there are none. */
  live: Comparison | undefined;
}

/** A ledger that grew within this time may still be written. */
const stillWrittenMs = 3_000;
const findingsShown = 3;

/** One ledger and what PostgreSQL has of it. */
export interface ComparedLedger {
  run: string;
  qos: 0 | 1;
  live: boolean;
  comparison: Comparison;
}

/**
 * Compares each ledger. Of a ledger that is still being written, the part that exists now is
 * compared.
 * @param backlog why not everything is drained; undefined if it is
 */
export async function judgeStored(
  mesh: Mesh,
  pool: SqlPool,
  options: StoredOptions,
  backlog: string | undefined,
): Promise<StoredVerdict> {
  const compared: ComparedLedger[] = [];
  const unread: string[] = [];
  let undrained = backlog;
  for (const file of await listLedgers(mesh.layout.ledgersDir)) {
    const run = path.basename(file, path.extname(file));
    options.onProgress?.(`comparing the ledger ${run} with SQL`);
    const ledger = await readLedger(file).catch((error: unknown) => {
      // A fleet or a load has removed its oldest ledger meanwhile.
      if (codeOf(error) !== 'ENOENT') unread.push(messageOf(error));
      return undefined;
    });
    if (ledger === undefined) continue;
    const live = isLive(file, ledger);
    // What was acknowledged a moment ago may not be drained yet.
    if (live && undrained === undefined)
      await untilDrained(mesh, { timeoutMs: options.timeoutMs }).catch((error: unknown) => {
        undrained = messageOf(error);
      });
    const comparison = await compareWithSql(ledger, pool, live);
    compared.push({ run, qos: ledger.header.qos, live, comparison });
  }
  const sumOf = (some: ComparedLedger[]) =>
    some.length === 0 ? undefined : addComparisons(some.map(({ comparison }) => comparison));
  return {
    verdict: judgeCompared(compared, unread, undrained),
    comparison: sumOf(compared),
    live: sumOf(compared.filter(({ live }) => live)),
  };
}

/**
 * The verdict on the ledgers.
 * @param unread why a ledger could not be read, for each such ledger
 * @param undrained why a missing row may still arrive; undefined if it may not
 */
export function judgeCompared(
  compared: readonly ComparedLedger[],
  unread: readonly string[],
  undrained: string | undefined,
): InvariantVerdict {
  if (compared.length === 0 && unread.length === 0)
    return notJudged('I1', 'there is no ledger: "mesh load" and the fleet of "npm start" write one');
  const total = addComparisons(compared.map(({ comparison }) => comparison));
  const { acked, stored, rejected, lost, duplicated, corrupted } = total;
  const faults = compared.filter(({ comparison, qos }) => !keepsPromise(comparison, qos));
  const detail = [
    `${compared.length} ledger(s): ${acked} acked, ${stored} stored, ${rejected} rejected, ${lost} lost, ${duplicated} duplicated, ${corrupted} corrupted`,
    ...faults.map(({ run, comparison: { examples } }) => {
      return `${run}: ${examples.slice(0, findingsShown).map(describeFinding).join('; ')}`;
    }),
    ...compared
      .filter(({ comparison }) => comparison.goodRejected > 0)
      .map(({ run, comparison }) => `${run}: ${comparison.goodRejected} well-formed readings were rejected`),
    ...(total.erased > 0 ? [`${total.erased} erased by an operator`] : []),
    ...unread,
    ...(undrained === undefined ? [] : [undrained]),
  ].join('; ');
  // A missing row may still arrive, but a row that is doubled or changed stays so.
  if (duplicated + corrupted > 0 || (faults.length > 0 && undrained === undefined))
    return broken('I1', detail);
  if (faults.length > 0) return notJudged('I1', `the backlog is not drained; ${detail}`);
  if (unread.length > 0) return notJudged('I1', `a ledger cannot be read; ${detail}`);
  return acked === 0 ? notJudged('I1', `no reading was acknowledged; ${detail}`) : kept('I1', detail);
}

/** True if the writer may still add to the ledger. */
function isLive(file: string, { end }: Ledger): boolean {
  return end === null && existsSync(file) && Date.now() - statSync(file).mtimeMs < stillWrittenMs;
}
