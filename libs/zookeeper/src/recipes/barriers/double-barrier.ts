/** A double barrier: parties begin together and end together. */
import { hostname } from 'node:os';
import { raceAbort } from '@thermomesh/runtime';
import { join } from '../../client/paths.ts';
import type { WatchEvent, Watcher } from '../../client/types.ts';
import type { WaitOptions, ZooKeeper } from '../../client/zookeeper.ts';
import { hasCode, ZooKeeperError } from '../../errors.ts';
import { decode, encode } from '../documents.ts';
import { firstRound, outlook, placeOf, type Attendance, type Round } from './double-barrier-round.ts';
import { deleteOwned, NodeLease, type Lease } from '../leases/lease.ts';
import { Recipe } from '../recipe.ts';
import { takeSeat, type Seat } from '../leases/seat.ts';
import { ticketsIn } from '../leases/tickets.ts';
import { within } from '../waiting.ts';

export interface DoubleBarrierOptions {
  path: string;
  /** The number of parties in a round; the same for every party. */
  parties: number;
  /** Names this party to the others if it is lost; need not be unique. */
  id?: string;
}

/** What a party has between `enter` and `leave`. */
export interface Stay {
  /** Numbers the rounds of this barrier from 1. */
  readonly round: number;
  /** Held while the others count on this party. After its end they do not. */
  readonly lease: Lease;
}

export interface RoundEnd {
  round: number;
  /**
   * Ids of the parties that were killed, cut off for too long, or closed between the two barriers.
   */
  lost: readonly string[];
}

interface View {
  round: Round;
  version: number;
  present: Attendance[];
}

/**
 * Rounds of a fixed number of parties: no party begins before all have come, and none continues
 * before all are done. A party that dies before the round begins does not count. One that dies
 * inside is not waited for, and the others get its id. A party that comes late takes part in the
 * next round, which waits until all members of the previous one have gone.
 */
export class DoubleBarrier extends Recipe {
  readonly #parties: number;
  readonly #id: string;
  #seat: Seat | undefined;
  #stay: Stay | undefined;
  #busy: Promise<unknown> | undefined;

  /** @throws RangeError unless `parties` is a positive integer */
  constructor(zk: ZooKeeper, { path, parties, id = `${hostname()}:${process.pid}` }: DoubleBarrierOptions) {
    super(zk, path);
    if (!Number.isInteger(parties) || parties < 1) throw new RangeError('parties must be a positive integer');
    this.#parties = parties;
    this.#id = id;
  }

  /**
   * Waits until enough parties have come. If the session is lost meanwhile, this party goes to the
   * end of the queue.
   * @throws ZooKeeperError `zookeeper.timeout`, `zookeeper.closed`; the signal's reason;
   *   `zookeeper.misused` if this party is inside, or if the others use another number of parties
   */
  async enter(options: WaitOptions = {}): Promise<Stay> {
    const what = () => `no ${this.#parties} parties came`;
    return this.#alone(options, what, async (signal) => this.#enter(signal));
  }

  /**
   * Reports that this party is done and waits until all members of its round are done or gone.
   * After a timeout the report stays, and `leave` can be called again.
   * @throws ZooKeeperError `zookeeper.timeout`, `zookeeper.closed`; the signal's reason;
   *   `zookeeper.lease_lost` if this party itself was lost; `zookeeper.misused` if it is not inside
   */
  async leave(options: WaitOptions = {}): Promise<RoundEnd> {
    return this.#alone(
      options,
      () => 'the others were not done',
      async (signal) => this.#leave(signal),
    );
  }

  protected override onStart(): void {
    // Nothing runs in the background.
  }

  protected override async onClose(): Promise<void> {
    await Promise.allSettled([this.#busy]);
    await this.#stay?.lease.release();
    if (this.#seat !== undefined) await deleteOwned(this.zk, this.#seat);
  }

  async #alone<T>(
    options: WaitOptions,
    what: () => string,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    this.assertStarted();
    if (this.#busy !== undefined) throw this.#misused('is already entering or leaving');
    const { closing, path } = this;
    const working = within({ ...options, closing, path, what }, work);
    this.#busy = working;
    try {
      return await working;
    } finally {
      this.#busy = undefined;
    }
  }

  async #enter(signal: AbortSignal): Promise<Stay> {
    if (this.#stay !== undefined) throw this.#misused('is inside');
    const data = encode({ id: this.#id, left: false });
    for (;;) {
      const seat = await takeSeat(this.zk, { directory: this.#directory, kind: 'party', data, signal });
      this.#seat = seat;
      try {
        const round = await this.#until('inside', seat, signal);
        const lease = round === undefined ? undefined : await NodeLease.confirm(this.zk, seat);
        if (round !== undefined && lease !== undefined) {
          return (this.#stay = { round: round.round, lease });
        }
      } catch (error) {
        // The parties that counted on it see it disappear.
        await this.#giveUp(seat);
        throw error;
      }
      await this.#giveUp(seat);
    }
  }

  async #leave(signal: AbortSignal): Promise<RoundEnd> {
    const { zk } = this;
    const [stay, seat] = [this.#stay, this.#seat];
    if (stay === undefined || seat === undefined) throw this.#misused('is not inside');
    const done = encode({ id: this.#id, left: true });
    try {
      const either = AbortSignal.any([signal, stay.lease.signal]);
      await zk.retry(async () => zk.setData(seat.path, done), { signal: either });
      const round = await this.#until('ended', seat, either);
      if (round === undefined) throw await this.#giveUpLost(seat);
      await this.#giveUp(seat);
      return { round: stay.round, lost: round.lost };
    } catch (error) {
      if (!stay.lease.signal.aborted && !hasCode(error, 'zookeeper.no_node', 'zookeeper.lease_lost'))
        throw error;
      await this.#giveUp(seat);
      throw this.#lost(error);
    }
  }

  async #giveUpLost(seat: Seat): Promise<ZooKeeperError> {
    await this.#giveUp(seat);
    return this.#lost(undefined);
  }

  #lost(cause: unknown): ZooKeeperError {
    const message = `${this.path}: the others have continued without this party`;
    return new ZooKeeperError('zookeeper.lease_lost', message, { path: this.path, cause });
  }

  async #giveUp(seat: Seat): Promise<void> {
    await this.#stay?.lease.release();
    await deleteOwned(this.zk, seat);
    this.#stay = undefined;
    this.#seat = undefined;
  }

  /** Turns rounds until this party's place is the requested one; undefined if its seat is gone. */
  async #until(place: 'inside' | 'ended', seat: Seat, signal: AbortSignal): Promise<Round | undefined> {
    for (;;) {
      if ((await this.zk.whenConnected({ signal })) !== seat.session) return undefined;
      try {
        const event = Promise.withResolvers<WatchEvent>();
        const view = await this.#look(seat.name, event.resolve);
        if (!view.present.some(({ name }) => name === seat.name)) return undefined;
        if (placeOf(view.round, seat.name) === place) return view.round;
        const next = outlook(view.round, view.present, seat.name);
        if (next.type === 'turn') await this.#turn(next.next, view.version);
        else if (await this.#unchanged(next.for, view, event.resolve)) await raceAbort(event.promise, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (hasCode(error, 'zookeeper.no_node')) await this.#make();
        // Another party has turned the round, or a present party has gone: look again.
        else if (!hasCode(error, 'zookeeper.bad_version')) await this.zk.pauseAfter(error);
      }
    }
  }

  /**
   * Reads a state that is not older than this call. It sets the watch on the document and on this
   * party's own node, which another client may delete.
   */
  async #look(me: string, changed: Watcher): Promise<View> {
    const [, { data, stat }, { names }] = await Promise.all([
      this.zk.sync(this.path),
      this.zk.getData(this.#roundPath, changed),
      this.zk.getChildren(this.#directory),
    ]);
    const round = decode(data) as Round;
    if (round.parties !== this.#parties)
      throw this.#misused(`needs ${round.parties} parties, not ${this.#parties}`);
    const parties = ticketsIn(names).map(async ({ name }) =>
      this.#attendance(name, name === me ? changed : undefined),
    );
    const present = (await Promise.all(parties)).filter((party) => party !== undefined);
    return { round, version: stat.version, present };
  }

  async #attendance(name: string, changed?: Watcher): Promise<Attendance | undefined> {
    try {
      const { data } = await this.zk.getData(join(this.#directory, name), changed);
      const { id = '', left = false } = (decode(data) ?? {}) as Partial<Attendance>;
      return { name, id, left };
    } catch (error) {
      if (hasCode(error, 'zookeeper.no_node')) return undefined;
      throw error;
    }
  }

  /** Sets the watch on the party to wait for; false if that party is no longer as it was seen. */
  async #unchanged(name: string | undefined, view: View, changed: Watcher): Promise<boolean> {
    if (name === undefined) return true;
    const now = await this.#attendance(name, changed);
    return now?.left === view.present.find((party) => party.name === name)?.left;
  }

  /**
   * Writes the next document. The servers refuse it if another party was faster, or if a member has
   * gone meanwhile.
   */
  async #turn(next: Round, version: number): Promise<void> {
    const alive = next.phase === 'running' ? next.members : [];
    await this.zk.multi([
      ...alive.map(({ name }) => ({
        type: 'check' as const,
        path: join(this.#directory, name),
        version: -1,
      })),
      { type: 'set', path: this.#roundPath, data: encode(next), version },
    ]);
  }

  async #make(): Promise<void> {
    try {
      await this.zk.ensurePath(this.#directory);
      await this.zk.create(this.#roundPath, encode(firstRound(this.#parties)));
    } catch (error) {
      if (!hasCode(error, 'zookeeper.node_exists')) await this.zk.pauseAfter(error);
    }
  }

  get #directory(): string {
    return join(this.path, 'parties');
  }

  get #roundPath(): string {
    return join(this.path, 'round');
  }

  #misused(what: string): ZooKeeperError {
    return new ZooKeeperError('zookeeper.misused', `${this.path}: this party ${what}`, { path: this.path });
  }
}
