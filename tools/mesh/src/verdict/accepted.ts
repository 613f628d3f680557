/**
 * Judges I5: what callers know to be accepted finishes under the same id, or fails with a reason.
 */
import { isFinalPhase, type InvariantVerdict } from '@thermomesh/contracts';
import { EqualizerRefusedError, type EqualizerClient } from '@thermomesh/equalizer-client';
import { sleep } from '@thermomesh/runtime';
import type { SqlPool } from '@thermomesh/sql';
import type { JobRecord } from '../mesh/evidence/jobs.ts';
import type { OrdersSeen } from '../mesh/evidence/orders.ts';
import type { ProbeOutcome } from './images.ts';
import { broken, kept, notJudged } from './verdicts.ts';

/** What became of one kind of accepted work. */
export interface Work {
  /** In the plural, for people: `orders`. */
  what: string;
  /** Number of pieces whose end is known, under the id that their caller was given. */
  over: number;
  /** Each broken promise in words. */
  faults: string[];
  /** Number of pieces whose end no part of the mesh knows any more. */
  unknown: number;
  /** Why none was looked at; undefined if some were, or if the mesh does no work of this kind. */
  unseen?: string | undefined;
}

interface CheckoutState extends Record<string, unknown> {
  id: string;
  status: string;
  reason: string | null;
}

const pollMs = 250;
const faultsShown = 5;
const notFound = 404;
/** A job is kept at least this long, so a younger one that is gone is lost. */
const jobKeptMs = 60_000;

/** Judges both kinds of work. A kind that the mesh does and that has no evidence is not judged. */
export function judgeAccepted(works: readonly Work[]): InvariantVerdict {
  const faults = works.flatMap((work) => work.faults);
  const detail = [
    ...works.map(({ what, over, unknown }) => {
      return `${over} ${what} ended as accepted${unknown === 0 ? '' : `, ${unknown} are no longer kept`}`;
    }),
    ...faults.slice(0, faultsShown),
    ...works.flatMap(({ unseen }) => unseen ?? []),
  ].join('; ');
  if (faults.length > 0) return broken('I5', `${faults.length} findings; ${detail}`);
  const judged = works.every(({ unseen }) => unseen === undefined);
  return judged && works.some(({ over }) => over > 0) ? kept('I5', detail) : notJudged('I5', detail);
}

/**
 * Looks up the checkouts that customers were given, and waits for those that are still open.
 * @param pool of the database that has the table of checkouts
 */
export async function lookAtOrders(
  pool: SqlPool,
  runs: readonly OrdersSeen[],
  timeoutMs: number,
): Promise<Work> {
  const ids = runs.flatMap(({ orders }) => orders.flatMap(({ checkoutIds }) => [...checkoutIds]));
  const work: Work = { what: 'orders', over: 0, faults: [], unknown: 0 };
  if (ids.length === 0)
    return { ...work, unseen: 'no customer has an accepted order on record: "mesh payments" makes some' };
  const sql =
    'SELECT checkout_id::text AS id, status, reason FROM checkouts WHERE checkout_id = ANY($1::uuid[])';
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const rows = new Map((await pool.query<CheckoutState>(sql, [ids])).map((row) => [row.id, row]));
    const open = ids.filter((id) => rows.get(id)?.status === 'accepted');
    if (open.length > 0 && Date.now() < deadline) {
      await sleep(pollMs);
      continue;
    }
    work.faults = [
      ...ids.filter((id) => !rows.has(id)).map((id) => `checkout ${id} was accepted and is gone`),
      ...open.map((id) => `checkout ${id} has no final answer after ${timeoutMs / 1000} s`),
      ...[...rows.values()]
        .filter(({ status, reason }) => status === 'failed' && (reason ?? '') === '')
        .map(({ id }) => `checkout ${id} failed without a reason`),
    ];
    work.over = ids.length - work.faults.length;
    return work;
  }
}

/** Follows the jobs that callers were given and did not see to their end. */
export async function lookAtJobs(
  client: Pick<EqualizerClient, 'read'> | undefined,
  records: readonly JobRecord[],
  probe: ProbeOutcome,
  timeoutMs: number,
): Promise<Work> {
  const work: Work = { what: 'image jobs', over: 0, faults: [], unknown: 0 };
  const ended = (id: string, phase: string, reason: string | null) => {
    if (phase === 'failed' && (reason ?? '') === '') work.faults.push(`job ${id} failed without a reason`);
    else work.over += 1;
  };
  const deadline = Date.now() + timeoutMs;
  for (const { id, over, acceptedAtMs } of records) {
    const end = over ?? (client === undefined ? 'unknown' : await endOf(client, id, acceptedAtMs, deadline));
    if (end === 'unknown') work.unknown += 1;
    else if (typeof end === 'string') work.faults.push(`job ${id} ${end}`);
    else ended(id, end.phase, end.reason);
  }
  if (probe.kind === 'compared') ended(probe.job.id, probe.job.phase, probe.job.reason);
  if (probe.kind === 'no_result') {
    if (probe.job === undefined) work.faults.push(`job ${probe.id} is not over after ${timeoutMs / 1000} s`);
    else ended(probe.id, probe.job.phase, probe.job.reason);
  }
  const none = work.over + work.faults.length === 0;
  return none && probe.kind === 'none' ? { ...work, unseen: `no image job: ${probe.reason}` } : work;
}

/** The final state of a job, `unknown`, or what is wrong with it. */
async function endOf(
  client: Pick<EqualizerClient, 'read'>,
  id: string,
  acceptedAtMs: number,
  deadline: number,
): Promise<{ phase: string; reason: string | null } | string> {
  for (;;) {
    try {
      const job = await client.read(id);
      if (isFinalPhase(job.phase)) return job;
    } catch (error) {
      if (!(error instanceof EqualizerRefusedError) || error.status !== notFound) return 'unknown';
      return Date.now() - acceptedAtMs > jobKeptMs ? 'unknown' : 'was accepted and is gone';
    }
    if (Date.now() > deadline) return 'has no end in the time of this command';
    await sleep(pollMs);
  }
}
