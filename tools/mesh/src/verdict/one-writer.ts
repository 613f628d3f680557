/** Judges I2 by the batches that were stored. */
import type { InvariantVerdict } from '@thermomesh/contracts';
import type { SqlPool } from '@thermomesh/sql';
import { broken, kept, notJudged } from './verdicts.ts';

interface Fall extends Record<string, unknown> {
  id: number;
  epoch: number;
  before: number;
}
interface Stray extends Record<string, unknown> {
  device_id: string;
  seq: number;
  epoch: number;
}

const fallsSql = `
  SELECT id, epoch, before FROM (
    SELECT id, epoch, max(epoch) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM drain_batches
  ) batches WHERE epoch < before ORDER BY id LIMIT 5`;
const strayEpochs = (table: string) => `
  SELECT epoch FROM (SELECT DISTINCT epoch FROM ${table}) seen
  WHERE NOT EXISTS (SELECT FROM drain_batches b WHERE b.epoch = seen.epoch) LIMIT 5`;
const strayRowsSql = 'SELECT device_id, seq, epoch FROM readings WHERE epoch = ANY($1) LIMIT 3';
const summarySql = `
  SELECT (SELECT count(*) FROM drain_batches) AS batches, (SELECT count(DISTINCT epoch) FROM drain_batches) AS epochs,
    (SELECT max(epoch) FROM drain_batches) AS highest, (SELECT epoch FROM coordinator) AS current`;

/**
 * Checks that epochs never fall with the id of a batch, that the epoch of every row has batches,
 * and that no epoch is above the coordinator's.
 */
export async function judgeOneWriter(pool: SqlPool): Promise<InvariantVerdict> {
  const falls = await pool.query<Fall>(fallsSql);
  const stray: number[] = [];
  for (const table of ['readings', 'rejected_readings']) {
    stray.push(...(await pool.query<{ epoch: number }>(strayEpochs(table))).map(({ epoch }) => epoch));
  }
  const strayRows = stray.length === 0 ? [] : await pool.query<Stray>(strayRowsSql, [stray]);
  const [summary] = await pool.query<{
    batches: number;
    epochs: number;
    highest: number | null;
    current: number | null;
  }>(summarySql);
  const findings = [
    ...falls.map(({ id, epoch, before }) => `batch ${id} has epoch ${epoch} after epoch ${before}`),
    ...(stray.length === 0 ? [] : [`rows of epochs ${stray.join(', ')} without any batch`]),
    ...strayRows.map(({ device_id: device, seq, epoch }) => `${device}/${seq} has epoch ${epoch}`),
  ];
  const { highest = null, current = null } = summary ?? {};
  if (highest !== null && (current === null || highest > current)) {
    findings.push(`batches up to epoch ${highest}, but the coordinator has epoch ${current ?? 'none'}`);
  }
  if (findings.length > 0) return broken('I2', findings.join('; '));
  const { batches = 0, epochs = 0 } = summary ?? {};
  if (batches === 0) return notJudged('I2', 'no batch was stored yet');
  return kept('I2', `${batches} batches in ${epochs} epochs, epochs never fall`);
}
