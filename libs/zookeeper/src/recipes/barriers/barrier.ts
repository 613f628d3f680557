/** A barrier: a gate at which clients wait until it is lifted. */
import { raceAbort } from '@thermomesh/runtime';
import type { Watcher, WatchEvent } from '../../client/types.ts';
import type { WaitOptions } from '../../client/zookeeper.ts';
import { hasCode } from '../../errors.ts';
import { decode, encode } from '../documents.ts';
import { Recipe } from '../recipe.ts';
import { within } from '../waiting.ts';

interface Gate {
  down: boolean;
  version: number;
}

/**
 * A gate that is up until a client sets it. It has no owner: if the client that set it dies, it
 * stays down, and any client may lift it. It is one node that is never deleted, and each write
 * flips it. So the node's version tells a gate that was lifted and set again from one that stayed
 * down, and a write whose answer was lost from one that did not happen.
 */
export class Barrier extends Recipe {
  /**
   * Closes the gate for clients that arrive from now on. Has no effect while it is closed.
   * @throws ZooKeeperError `zookeeper.timeout`, `zookeeper.closed`, the signal's reason: the gate
   *   may have been set nevertheless
   */
  async set(options: WaitOptions = {}): Promise<void> {
    await this.#turn(true, options);
  }

  /**
   * Opens the gate for clients that wait and for those that arrive.
   * @throws ZooKeeperError as {@link set}
   */
  async lift(options: WaitOptions = {}): Promise<void> {
    await this.#turn(false, options);
  }

  /**
   * Resolves at once if the gate is up, otherwise when it has been lifted, even if it is down again
   * by then. A waiter survives the loss of its session, because it owns no node here.
   * @throws ZooKeeperError `zookeeper.timeout`, `zookeeper.closed`; the signal's reason
   */
  async wait(options: WaitOptions = {}): Promise<void> {
    this.assertStarted();
    const { closing, path } = this;
    await within({ ...options, closing, path, what: () => 'not lifted' }, async (signal) =>
      this.#wait(signal),
    );
  }

  protected override onStart(): void {
    // Nothing runs in the background.
  }

  protected override async onClose(): Promise<void> {
    // The recipe owns nothing, and the signal has ended all waits.
  }

  async #wait(signal: AbortSignal): Promise<void> {
    let seen: number | undefined;
    for (;;) {
      await this.zk.whenConnected({ signal });
      try {
        const event = Promise.withResolvers<WatchEvent>();
        const gate = await this.#read(event.resolve);
        seen ??= gate.version;
        if (!gate.down || gate.version !== seen) return;
        await raceAbort(event.promise, signal);
      } catch (error) {
        signal.throwIfAborted();
        await this.zk.pauseAfter(error);
      }
    }
  }

  async #turn(down: boolean, options: WaitOptions): Promise<void> {
    this.assertStarted();
    const { closing, path } = this;
    const what = () => (down ? 'not set' : 'not lifted');
    await within({ ...options, closing, path, what }, async (signal) => this.#turnOnce(down, signal));
  }

  async #turnOnce(down: boolean, signal: AbortSignal): Promise<void> {
    let seen: number | undefined;
    for (;;) {
      await this.zk.whenConnected({ signal });
      try {
        const gate = await this.#read();
        seen ??= gate.version;
        // Flipped since this call began, by its own lost write or by another client: it has been in
        // the wanted state.
        if (gate.down === down || gate.version !== seen) return;
        await this.zk.setData(this.path, encode({ down }), gate.version);
        return;
      } catch (error) {
        signal.throwIfAborted();
        // Another client has flipped it the same way: there are only two states.
        if (hasCode(error, 'zookeeper.bad_version')) return;
        if (hasCode(error, 'zookeeper.no_node')) {
          await this.zk.ensurePath(this.path).catch(async (failure: unknown) => this.zk.pauseAfter(failure));
        } else await this.zk.pauseAfter(error);
      }
    }
  }

  /**
   * Reads a state that is not older than this call. A server that lags behind would let clients
   * pass that arrive after a `set`.
   */
  async #read(watch?: Watcher): Promise<Gate> {
    try {
      const [, { data, stat }] = await Promise.all([
        this.zk.sync(this.path),
        this.zk.getData(this.path, watch),
      ]);
      const down = (decode(data) as { down?: unknown } | undefined)?.down === true;
      return { down, version: stat.version };
    } catch (error) {
      if (!hasCode(error, 'zookeeper.no_node')) throw error;
      if (watch === undefined) {
        await this.zk.ensurePath(this.path);
        return this.#read();
      }
      return { down: false, version: 0 };
    }
  }
}
