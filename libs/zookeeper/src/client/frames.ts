/** Cuts a stream of bytes into ZooKeeper's length-prefixed frames. Pure. */
import { ZooKeeperError } from '../errors.ts';

const headerBytes = 4;

/**
 * Each connection needs its own splitter: bytes left over from a broken connection must not be read
 * as the start of the next one.
 */
export class FrameSplitter {
  readonly #frameBytesMax: number;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax;
  }

  /**
   * Returns the frames that are complete now, each with its length prefix.
   * @throws ZooKeeperError `zookeeper.unexpected` if the length is invalid
   */
  push(chunk: Buffer): Buffer[] {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < this.#wanted()) return [];
    let rest = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#bytes);
    const frames: Buffer[] = [];
    while (rest.length >= headerBytes) {
      const end = headerBytes + this.#lengthOf(rest);
      if (rest.length < end) break;
      frames.push(rest.subarray(0, end));
      rest = rest.subarray(end);
    }
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#bytes = rest.length;
    return frames;
  }

  /**
   * The number of bytes that the first frame needs. With it, a large frame is concatenated once,
   * not once per chunk.
   */
  #wanted(): number {
    const first = this.#chunks[0];
    if (first === undefined || first.length < headerBytes) return headerBytes;
    return headerBytes + this.#lengthOf(first);
  }

  #lengthOf(buffer: Buffer): number {
    const length = buffer.readInt32BE(0);
    if (length < 0 || length > this.#frameBytesMax) {
      throw new ZooKeeperError('zookeeper.unexpected', `the server announced a frame of ${length} bytes`);
    }
    return length;
  }
}
