/**
 * A shared number to which each change is applied exactly once: a change whose answer was lost is
 * settled, not reported as unknown.
 */
import { randomUUID } from 'node:crypto';
import { join } from '../../client/paths.ts';
import type { NodeData } from '../../client/types.ts';
import type { Watch } from '../../client/watch.ts';
import type { WaitOptions, ZooKeeper } from '../../client/zookeeper.ts';
import { hasCode, isRetriable, mayHaveHappened, ZooKeeperError } from '../../errors.ts';
import { Recipe } from '../recipe.ts';
import { within } from '../waiting.ts';

export interface CounterOptions {
  path: string;
  /** The value before the first change. */
  initial?: bigint;
}

/** The number, and the version of its node. */
export interface CounterState {
  value: bigint;
  version: number;
}

/** A node that counts the changes of one writer and holds the result of the latest one. */
interface Receipt {
  path: string;
  made: boolean;
  /** The number of changes that are known to have happened. */
  version: number;
  /** True if the answer to an attempt of the current change was lost. */
  open: boolean;
}

/**
 * Receipts untouched for this long belong to processes that died or were idle; an idle process
 * makes a new receipt.
 */
const receiptLifeMs = 24 * 60 * 60 * 1_000;
/** Maximum number of receipts that one start checks. */
const receiptsSweptMax = 100;
const empty = Buffer.alloc(0);

/**
 * Each change writes the number and, in the same transaction, a receipt of this writer. When an
 * answer is lost, the receipt tells whether the change happened, even if others have changed the
 * number since. All attempts of one change expect the same version of the receipt, so at most one
 * of them can happen, even if the network delivers one late.
 */
export class SharedCounter extends Recipe {
  readonly #initial: bigint;
  #watch: Watch<NodeData | undefined> | undefined;
  #receipt: Receipt | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(zk: ZooKeeper, { path, initial = 0n }: CounterOptions) {
    super(zk, path);
    this.#initial = initial;
  }

  /** The last known number; undefined before the first read. It may lag behind, unlike `read`. */
  get value(): bigint | undefined {
    const known = this.#watch?.current;
    return known === undefined ? undefined : this.#valueOf(known.value);
  }

  /**
   * Calls the listener with the number now, if it is known, and with each new one; intermediate
   * ones may be skipped.
   * @returns a function that ends the subscription
   */
  onChange(listener: (value: bigint) => void): () => void {
    this.assertStarted();
    return this.#watch?.subscribe((node) => listener(this.#valueOf(node))) ?? (() => undefined);
  }

  /**
   * Reads the number; the result is not older than this call.
   * @throws ZooKeeperError `zookeeper.timeout`, `zookeeper.closed`; the signal's reason
   */
  async read(options: WaitOptions = {}): Promise<CounterState> {
    this.assertStarted();
    return this.#within(options, async (signal) => this.zk.retry(async () => this.#readValue(), { signal }));
  }

  /**
   * Adds `delta` exactly once, through cuts and lost sessions.
   * @returns the resulting number
   * @throws ZooKeeperError `zookeeper.timeout`, `zookeeper.closed`, the signal's reason: the change
   *   was abandoned and may have happened
   */
  async add(delta: bigint, options: WaitOptions = {}): Promise<CounterState> {
    return this.#change(({ value }) => value + delta, options);
  }

  /**
   * Writes `value` if no change has happened since `version`.
   * @throws ZooKeeperError `zookeeper.bad_version`; otherwise as {@link add}
   */
  async compareAndSet({ version, value }: CounterState, options: WaitOptions = {}): Promise<CounterState> {
    return this.#change((state) => {
      if (state.version === version) return value;
      const message = `${this.path}: the number has changed since that version`;
      throw new ZooKeeperError('zookeeper.bad_version', message, { path: this.path });
    }, options);
  }

  protected override onStart(): void {
    this.#watch = this.zk.watchData(this.path);
  }

  protected override async onClose(): Promise<void> {
    await Promise.all([this.#watch?.close(), this.#turn]);
    if (this.#receipt !== undefined) await this.#remove(this.#receipt.path);
  }

  get #receipts(): string {
    return join(this.path, 'receipts');
  }

  async #within<T>(options: WaitOptions, wait: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { closing, path } = this;
    return within({ ...options, closing, path, what: () => 'no answer' }, wait);
  }

  /** Runs the changes of this writer one after another, because its receipt counts them. */
  async #change(next: (state: CounterState) => bigint, options: WaitOptions): Promise<CounterState> {
    this.assertStarted();
    const before = this.#turn;
    const done = this.#within(options, async (signal) => {
      await before;
      // An abandoned earlier change may still happen; its receipt must not be taken for this
      // change's.
      if (this.#receipt?.open === true) this.#receipt = undefined;
      return this.#settle(next, signal);
    });
    this.#turn = Promise.allSettled([before, done]);
    return done;
  }

  async #settle(next: (state: CounterState) => bigint, signal: AbortSignal): Promise<CounterState> {
    for (;;) {
      await this.zk.whenConnected({ signal });
      const result = await this.#try(next).catch(async (error: unknown) => {
        signal.throwIfAborted();
        if (error instanceof Overtaken) return undefined;
        await this.zk.pauseAfter(error);
        return undefined;
      });
      if (result !== undefined) return result;
    }
  }

  async #try(next: (state: CounterState) => bigint): Promise<CounterState> {
    const receipt = (this.#receipt ??= this.#newReceipt());
    if (!receipt.made) await this.#make(receipt);
    const written = receipt.open ? await this.#readReceipt(receipt) : undefined;
    if (written !== undefined) return written;
    const state = await this.#readValue();
    const after = { value: next(state), version: state.version + 1 };
    try {
      await this.zk.multi([
        { type: 'set', path: this.path, data: encodeValue(after.value), version: state.version },
        { type: 'set', path: receipt.path, data: encodeState(after), version: receipt.version },
      ]);
    } catch (error) {
      if (mayHaveHappened(error)) receipt.open = true;
      // Another writer was faster, or an earlier attempt of this very change succeeded: the receipt
      // tells.
      if (hasCode(error, 'zookeeper.bad_version')) throw new Overtaken();
      // The receipt was swept because this writer was idle for long.
      if (hasCode(error, 'zookeeper.no_node') && !receipt.open) {
        this.#receipt = undefined;
        throw new Overtaken();
      }
      throw error;
    }
    receipt.version += 1;
    receipt.open = false;
    return after;
  }

  /** The result of the current change; undefined if none of its attempts has happened. */
  async #readReceipt(receipt: Receipt): Promise<CounterState | undefined> {
    const { data, stat } = await this.#synced(receipt.path);
    if (stat.version === receipt.version) return undefined;
    receipt.version = stat.version;
    receipt.open = false;
    return decodeState(data);
  }

  async #readValue(): Promise<CounterState> {
    try {
      const node = await this.#synced(this.path);
      return { value: this.#valueOf(node), version: node.stat.version };
    } catch (error) {
      if (!hasCode(error, 'zookeeper.no_node')) throw error;
      await this.zk.ensurePath(this.path);
      return this.#readValue();
    }
  }

  async #synced(path: string): Promise<NodeData> {
    const [, node] = await Promise.all([this.zk.sync(path), this.zk.getData(path)]);
    return node;
  }

  #valueOf(node: NodeData | undefined): bigint {
    const text = node?.data.toString() ?? '';
    if (text === '') return this.#initial;
    if (/^-?[0-9]+$/.test(text)) return BigInt(text);
    throw new ZooKeeperError('zookeeper.unexpected', `${this.path} does not hold a number`, {
      path: this.path,
    });
  }

  /**
   * Uses a new name each time: a late attempt of an abandoned change must not find a receipt that
   * counts for a later one.
   */
  #newReceipt(): Receipt {
    return { path: join(this.#receipts, randomUUID()), made: false, version: 0, open: false };
  }

  async #make(receipt: Receipt): Promise<void> {
    await this.zk.ensurePath(this.#receipts);
    try {
      await this.zk.create(receipt.path, empty);
    } catch (error) {
      // An earlier attempt created it and its answer was lost: no other client knows the name.
      if (!hasCode(error, 'zookeeper.node_exists')) throw error;
    }
    receipt.made = true;
    await this.#sweep(receipt.path);
  }

  /** Removes old receipts, by the servers' clocks alone. */
  async #sweep(mine: string): Promise<void> {
    const { names } = await this.zk.getChildren(this.#receipts);
    const bornMs = (await this.zk.exists(mine))?.createdAtMs ?? 0;
    for (const name of names.slice(0, receiptsSweptMax)) {
      const path = join(this.#receipts, name);
      const stat = await this.zk.exists(path);
      if (stat !== undefined && stat.modifiedAtMs < bornMs - receiptLifeMs) await this.#remove(path);
    }
  }

  /** A receipt that cannot be removed now is swept by a later start. */
  async #remove(path: string): Promise<void> {
    try {
      await this.zk.delete(path);
    } catch (error) {
      if (!isRetriable(error) && !hasCode(error, 'zookeeper.no_node', 'zookeeper.closed')) throw error;
    }
  }
}

/** Nothing happened; look again. */
class Overtaken extends Error {}

function encodeValue(value: bigint): Buffer {
  return Buffer.from(String(value));
}

function encodeState({ value, version }: CounterState): Buffer {
  return Buffer.from(`${value} ${version}`);
}

function decodeState(data: Buffer): CounterState {
  const [value = '', version = ''] = data.toString().split(' ');
  return { value: BigInt(value), version: Number(version) };
}
