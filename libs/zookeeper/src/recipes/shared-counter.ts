/** A number that everybody counts on, once per count: a change whose answer was lost is settled, not reported. */
import { randomUUID } from 'node:crypto';
import { join } from '../client/paths.ts';
import type { NodeData } from '../client/types.ts';
import type { Watch } from '../client/watch.ts';
import type { WaitOptions, ZooKeeper } from '../client/zookeeper.ts';
import { hasCode, isRetriable, ZooKeeperError } from '../errors.ts';
import { Recipe } from './recipe.ts';
import { within } from './waiting.ts';

export interface CounterOptions {
  path: string;
  /** Before anybody has counted. */
  initial?: bigint;
}

/** The number, and the version of the node that says it. */
export interface CounterState {
  value: bigint;
  version: number;
}

/** A node that counts the changes of one writer, and says what the last one came to. */
interface Receipt {
  path: string;
  made: boolean;
  /** Changes that are known to have happened. */
  version: number;
  /** The answer to a try of the change under way was lost. */
  open: boolean;
}

/** Receipts that nobody has touched for so long are of processes that died, or were idle: those make another one. */
const receiptLifeMs = 24 * 60 * 60 * 1_000;
/** Looked at by one start. */
const receiptsSweptMax = 100;
const empty = Buffer.alloc(0);

/**
 * Each change writes the number and, in the same transaction, a receipt of this writer. When an answer is lost the receipt tells whether
 * the change happened, though others may have changed the number since; and because all tries of one change expect the same version of
 * the receipt, no two of them can happen, not even one that the network delivers late.
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

  /** As known last; undefined before the first read. May be late: `read` is not. */
  get value(): bigint | undefined {
    const known = this.#watch?.current;
    return known === undefined ? undefined : this.#valueOf(known.value);
  }

  /** Called with the number now, if it is known, and with each new one; ones in between may be skipped. @returns what stops it */
  onChange(listener: (value: bigint) => void): () => void {
    this.assertStarted();
    return this.#watch?.subscribe((node) => listener(this.#valueOf(node))) ?? (() => undefined);
  }

  /** What it is now: not older than this call. @throws ZooKeeperError `zookeeper.timeout`, `zookeeper.closed`; the signal's reason */
  async read(options: WaitOptions = {}): Promise<CounterState> {
    this.assertStarted();
    return this.#within(options, async (signal) => this.zk.retry(async () => this.#readValue(), { signal }));
  }

  /**
   * Adds, once, through cuts and lost sessions.
   * @returns what it came to
   * @throws ZooKeeperError `zookeeper.timeout`, `zookeeper.closed`, the signal's reason: it was given up, and may have happened
   */
  async add(delta: bigint, options: WaitOptions = {}): Promise<CounterState> {
    return this.#change(({ value }) => value + delta, options);
  }

  /** Writes `value` if nobody has counted since `version`. @throws ZooKeeperError `zookeeper.bad_version`; else as {@link add} */
  async compareAndSet({ version, value }: CounterState, options: WaitOptions = {}): Promise<CounterState> {
    return this.#change((state) => {
      if (state.version === version) return value;
      const message = `${this.path}: somebody has counted`;
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

  /** One change of this writer after the other: a receipt counts them. */
  async #change(next: (state: CounterState) => bigint, options: WaitOptions): Promise<CounterState> {
    this.assertStarted();
    const before = this.#turn;
    const done = this.#within(options, async (signal) => {
      await before;
      // What an earlier change has left open, because it was given up, must not be taken for this one.
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
      if (isRetriable(error) && error.applied === 'unknown') receipt.open = true;
      // Somebody else was faster, or an earlier try of this very change: then the receipt tells.
      if (hasCode(error, 'zookeeper.bad_version')) throw new Overtaken();
      // Swept, because this writer was idle for long.
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

  /** What the change under way came to; undefined if none of its tries has happened. */
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
    throw new ZooKeeperError('zookeeper.unexpected', `${this.path} holds no number`, { path: this.path });
  }

  /** Another name each time: a late try of a change that was given up finds nothing that would be taken for a later one. */
  #newReceipt(): Receipt {
    return { path: join(this.#receipts, randomUUID()), made: false, version: 0, open: false };
  }

  async #make(receipt: Receipt): Promise<void> {
    await this.zk.ensurePath(this.#receipts);
    try {
      await this.zk.create(receipt.path, empty);
    } catch (error) {
      // By an earlier try whose answer was lost: nobody else knows the name.
      if (!hasCode(error, 'zookeeper.node_exists')) throw error;
    }
    receipt.made = true;
    await this.#sweep(receipt.path);
  }

  /** By the servers' clocks alone. */
  async #sweep(mine: string): Promise<void> {
    const { names } = await this.zk.getChildren(this.#receipts);
    const bornMs = (await this.zk.exists(mine))?.createdAtMs ?? 0;
    for (const name of names.slice(0, receiptsSweptMax)) {
      const path = join(this.#receipts, name);
      const stat = await this.zk.exists(path);
      if (stat !== undefined && stat.modifiedAtMs < bornMs - receiptLifeMs) await this.#remove(path);
    }
  }

  /** What cannot be removed now is swept by a later start. */
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
