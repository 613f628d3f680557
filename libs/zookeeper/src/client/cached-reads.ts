/** Answers reads from memory; a one-shot watch guards each remembered read. */
import { hasCode } from '../errors.ts';
import type { NodeData, Stat, Watcher } from './types.ts';

/** The reads of a client that this cache needs. */
export interface NodeReader {
  getData(path: string, watch: Watcher): Promise<NodeData>;
  exists(path: string, watch: Watcher): Promise<Stat | undefined>;
}

/** Remembers each read until its watch fires: the node changed, or the connection broke. */
export class CachedReads {
  readonly #zk: NodeReader;
  readonly #pathsMax: number;
  readonly #entries = new Map<string, Promise<NodeData | undefined>>();

  constructor(zk: NodeReader, pathsMax: number) {
    this.#zk = zk;
    this.#pathsMax = pathsMax;
  }

  /** The data of the node; undefined if there is no such node. Both results are remembered. */
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
