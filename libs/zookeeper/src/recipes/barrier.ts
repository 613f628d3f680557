/** Barrier: one gate that everybody waits at until it is lifted. */
import type { Watcher, WatchEvent } from '../client/types.ts';
import type { WaitOptions } from '../client/zookeeper.ts';
import { hasCode } from '../errors.ts';
import { decode, encode } from './documents.ts';
import { orAborted, Recipe } from './recipe.ts';
import { within } from './waiting.ts';

interface Gate {
  down: boolean;
  version: number;
}

/**
 * A gate, up until somebody sets it. It belongs to nobody: when the one who set it dies it stays down, and anybody may lift it. One
 * node that is never deleted holds it, and each write turns it over: so versions tell a gate that was lifted and set again from one that
 * has been down all the time, and a write whose answer was lost from one that was not done.
 */
export class Barrier extends Recipe {
  /**
   * Lets nobody pass any more who comes from now on. Whoever calls it while it is down changes nothing.
   * @throws ZooKeeperError `zookeeper.timeout`, `zookeeper.closed`, the signal's reason: it may have been set all the same
   */
  async set(options: WaitOptions = {}): Promise<void> {
    await this.#turn(true, options);
  }

  /**
   * Lets everybody pass who waits, and whoever comes.
   * @throws ZooKeeperError as {@link set}
   */
  async lift(options: WaitOptions = {}): Promise<void> {
    await this.#turn(false, options);
  }

  /**
   * Returns at once if it is up, else when it has been lifted, even if it is down again by then. Whoever waits survives the loss of
   * its session: it owns nothing here.
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
    // Nothing runs by itself.
  }

  protected override async onClose(): Promise<void> {
    // Nothing is owned; whoever waits has been told by the signal.
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
        await orAborted(event.promise, signal);
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
        // Turned since this call began, by its own lost write or by another's: it has been as asked for.
        if (gate.down === down || gate.version !== seen) return;
        await this.zk.setData(this.path, encode({ down }), gate.version);
        return;
      } catch (error) {
        signal.throwIfAborted();
        // Whoever was first has turned it the same way: there are only two.
        if (hasCode(error, 'zookeeper.bad_version')) return;
        if (hasCode(error, 'zookeeper.no_node')) {
          await this.zk.ensurePath(this.path).catch(async (fault: unknown) => this.zk.pauseAfter(fault));
        } else await this.zk.pauseAfter(error);
      }
    }
  }

  /** Not older than this call: a server that lags behind would let those pass who come after a `set`. */
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
