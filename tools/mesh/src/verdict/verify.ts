/** Judges every promise, each against evidence outside the part that it judges. */
import type { InvariantId, InvariantVerdict, VerifyDocument } from '@thermomesh/contracts';
import type { Comparison } from '@thermomesh/ledger';
import { messageOf } from '@thermomesh/runtime';
import type { SqlPool } from '@thermomesh/sql';
import { readJobs, type JobRecord } from '../mesh/evidence/jobs.ts';
import { readOrders, type OrdersSeen } from '../mesh/evidence/orders.ts';
import { openPool } from '../mesh/database.ts';
import { untilDrained } from '../mesh/drained.ts';
import type { Mesh } from '../mesh/mesh.ts';
import { sampleAccounts } from '../mesh/status.ts';
import { clientOf, hasEqualizer, jobPlaceOf } from '../mesh/images/place.ts';
import { judgeAccepted, lookAtJobs, lookAtOrders, type Work } from './accepted.ts';
import { judgeBalance } from './balance.ts';
import { judgeCharges } from './charges.ts';
import { judgeImages, type ProbeOutcome } from './images.ts';
import { judgeOneWriter } from './one-writer.ts';
import { probeImage } from './probe.ts';
import { judgeStored, type StoredVerdict } from './stored.ts';
import { allOf, notJudged } from './verdicts.ts';

export interface VerifyOptions {
  /** Time limit for each wait: for the backlog, for open work, for coming to rest. */
  timeoutMs: number;
  /** False puts no image of the judge through the mesh. Default true. */
  probe?: boolean;
  onProgress?: (line: string) => void;
}

/** The verdicts, and what was compared. */
export interface Verification {
  document: VerifyDocument;
  /** The sum over all ledgers; undefined if there are none. */
  comparison: Comparison | undefined;
  /** The sum over the ledgers that are still being written. */
  live: Comparison | undefined;
}

const restTimeoutMsMax = 10_000;

/** Waits for the backlog, then judges. What cannot be looked at is null, with the reason. */
export async function verifyMesh(mesh: Mesh, options: VerifyOptions): Promise<Verification> {
  let backlog: string | undefined;
  await untilDrained(mesh, {
    timeoutMs: options.timeoutMs,
    onProgress: (remaining) => options.onProgress?.(`waiting for the backlog: ${remaining} to go`),
  }).catch((error: unknown) => (backlog = messageOf(error)));
  const session = new Session(mesh, options, backlog);
  const pool = await connected(mesh);
  try {
    const stored = await session.stored(pool);
    const oneWriter = await session.judged('I2', pool, judgeOneWriter);
    const charges = await session.judged('I3', pool, async (sql) => judgeCharges(mesh, sql));
    const balance = await session.balance();
    const work = await session.work(pool, [stored.verdict, oneWriter, charges, balance]);
    const invariants = [stored.verdict, oneWriter, charges, ...work, balance];
    const { comparison, live } = stored;
    return { document: { ok: allOf(invariants), invariants }, comparison, live };
  } finally {
    if (typeof pool !== 'string') await pool.close();
  }
}

/** The pool, or why there is none. */
async function connected(mesh: Mesh): Promise<SqlPool | string> {
  try {
    return openPool(mesh);
  } catch (error) {
    return messageOf(error);
  }
}

class Session {
  readonly #mesh: Mesh;
  readonly #options: VerifyOptions;
  readonly #backlog: string | undefined;

  constructor(mesh: Mesh, options: VerifyOptions, backlog: string | undefined) {
    this.#mesh = mesh;
    this.#options = options;
    this.#backlog = backlog;
  }

  async stored(pool: SqlPool | string): Promise<StoredVerdict> {
    const none = { comparison: undefined, live: undefined };
    if (typeof pool === 'string') return { verdict: notJudged('I1', pool), ...none };
    try {
      const stored = await judgeStored(this.#mesh, pool, this.#options, this.#backlog);
      return { ...stored, verdict: await withAcceptedLoss(stored, pool) };
    } catch (error) {
      return { verdict: notJudged('I1', messageOf(error)), ...none };
    }
  }

  /** The verdict of a judge that needs the database. */
  async judged(
    id: InvariantId,
    pool: SqlPool | string,
    judge: (pool: SqlPool) => Promise<InvariantVerdict>,
  ): Promise<InvariantVerdict> {
    this.#options.onProgress?.(`judging ${id}`);
    if (typeof pool === 'string') return notJudged(id, pool);
    return judge(pool).catch((error: unknown) => notJudged(id, messageOf(error)));
  }

  async balance(): Promise<InvariantVerdict> {
    this.#options.onProgress?.('balancing the accounts');
    return judgeBalance({
      sample: async () => sampleAccounts(this.#mesh),
      timeoutMs: Math.min(this.#options.timeoutMs, restTimeoutMsMax),
    });
  }

  /**
   * I4 and I5.
   * @param others the other verdicts, which tell whether the mesh has been used at all
   */
  async work(pool: SqlPool | string, others: readonly InvariantVerdict[]): Promise<InvariantVerdict[]> {
    let orders: OrdersSeen[];
    let jobs: JobRecord[];
    try {
      [orders, jobs] = [readOrders(this.#mesh), readJobs(this.#mesh)];
    } catch (error) {
      return [notJudged('I4', messageOf(error)), notJudged('I5', messageOf(error))];
    }
    const used = jobs.length > 0 || others.some(({ ok }) => ok !== null);
    const probe = await this.#probe(used);
    const images = judgeImages(jobs, probe);
    const accepted = await this.judged('I5', pool, async (sql) => {
      const works: Work[] = [];
      if (this.#has('card-processor')) works.push(await lookAtOrders(sql, orders, this.#options.timeoutMs));
      const client = hasEqualizer(this.#mesh) ? clientOf(jobPlaceOf(this.#mesh)) : undefined;
      if (client !== undefined || jobs.length > 0)
        works.push(await lookAtJobs(client, jobs, probe, this.#options.timeoutMs));
      return works.length === 0
        ? notJudged('I5', 'the mesh runs neither payments nor the equalizer')
        : judgeAccepted(works);
    });
    return [images, accepted];
  }

  async #probe(used: boolean): Promise<ProbeOutcome> {
    const none = (reason: string): ProbeOutcome => ({ kind: 'none', reason });
    if (!hasEqualizer(this.#mesh)) return none(`the mesh "${this.#mesh.name}" runs no equalizer`);
    if (this.#options.probe === false) return none('the probe was turned off');
    if (!used)
      return none(
        'nothing has used this mesh yet: after "mesh load" or "mesh payments" verify sends an image too',
      );
    this.#options.onProgress?.('comparing an image with that of a single process');
    try {
      return await probeImage(this.#mesh, this.#options.timeoutMs);
    } catch (error) {
      return none(messageOf(error));
    }
  }

  #has(role: string): boolean {
    return (this.#mesh.run()?.processes ?? []).some((process) => process.role === role);
  }
}

/**
 * Names the messages whose loss an operator has accepted, if acknowledged readings are missing. If
 * another database can have all that are missing, they are neither stored here nor lost.
 */
async function withAcceptedLoss(
  { verdict, comparison }: StoredVerdict,
  pool: SqlPool,
): Promise<InvariantVerdict> {
  if (verdict.ok !== false) return verdict;
  const [row] = await pool.query<{ lost: number; elsewhere: number }>(
    `SELECT coalesce(sum(messages) FILTER (WHERE kept_in IS NULL), 0)::bigint AS lost,
            coalesce(sum(messages) FILTER (WHERE kept_in IS NOT NULL), 0)::bigint AS elsewhere
     FROM drain_gaps`,
  );
  const { lost, elsewhere } = row ?? { lost: 0, elsewhere: 0 };
  const detail = [
    verdict.detail,
    ...(lost === 0 ? [] : [`${lost} messages were lost with a restored database, and that was accepted`]),
    ...(elsewhere === 0
      ? []
      : [`${elsewhere} messages are in the database that the mesh worked with before it adopted this one`]),
  ].join('; ');
  const { lost: missing = 0, duplicated = 0, corrupted = 0 } = comparison ?? {};
  if (missing > 0 && missing <= elsewhere && duplicated + corrupted === 0) return notJudged('I1', detail);
  return { ...verdict, detail };
}
