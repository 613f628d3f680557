/** Reads answered from memory, each guarded by a one-shot watch. */
import { hasCode } from '../errors.ts';
import type { NodeData } from './types.ts';
import type { ZooKeeper } from './zookeeper.ts';

/** Remembers what was read until the server says that it changed, or can no longer say so. */
export class CachedReads {
  readonly #zk: ZooKeeper;
  readonly #pathsMax: number;
  readonly #entries = new Map<string, Promise<NodeData | undefined>>();

  constructor(zk: ZooKeeper, pathsMax: number) {
    this.#zk = zk;
    this.#pathsMax = pathsMax;
  }

  /** The data of the node; undefined if there is no such node, which is remembered too. */
  async data(path: string): Promise<NodeData | undefined> {
    const known = this.#entries.get(path);
    if (known !== undefined) return known;
    const forget = () => {
      if (this.#entries.get(path) === reading) this.#entries.delete(path);
    };
    const reading = this.#read(path, forget);
    this.#entries.set(path, reading);
    reading.catch(forget);
    this.#trim();
    return reading;
  }

  async #read(path: string, forget: () => void): Promise<NodeData | undefined> {
    for (;;) {
      try {
        return await this.#zk.getData(path, forget);
      } catch (error) {
        if (!hasCode(error, 'zookeeper.no_node')) throw error;
        if ((await this.#zk.exists(path, forget)) === undefined) return undefined;
      }
    }
  }

  #trim(): void {
    if (this.#entries.size <= this.#pathsMax) return;
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined) this.#entries.delete(oldest);
  }
}
