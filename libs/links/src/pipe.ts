/**
 * One direction of one connection: bytes that are read at one end are written at the other when
 * they are due.
 */
import type { Socket } from 'node:net';
import type { LinkCondition } from './condition.ts';
import { reset } from './reset.ts';

export interface Pipe {
  /** @param blocked lets nothing pass, not even the end of the connection */
  apply(condition: LinkCondition, blocked: boolean): void;
  /** Drops the bytes that wait. */
  close(): void;
}

interface Waiting {
  bytes: Buffer;
  dueAtMs: number;
}

/**
 * A link with a rate limit sends in slices of this duration, so that a large chunk does not arrive
 * at once after a long silence.
 */
const sliceMs = 20;

/**
 * Makes a pipe, which is blocked until the first `apply`. Memory is bounded: with `queueBytesMax`
 * waiting bytes, or while the target accepts no more, the source is not read.
 */
export function createPipe(source: Socket, target: Socket, queueBytesMax: number): Pipe {
  return new Forwarder(source, target, queueBytesMax);
}

class Forwarder implements Pipe {
  readonly #source: Socket;
  readonly #target: Socket;
  readonly #queueBytesMax: number;
  readonly #queue: Waiting[] = [];
  #queuedBytes = 0;
  #blocked = true;
  #delayMs = 0;
  #bytesPerSecond: number | null = null;
  /** When the last byte that was taken in leaves the line. */
  #lineFreeAtMs = 0;
  #targetFull = false;
  #ended = false;
  #broken = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(source: Socket, target: Socket, queueBytesMax: number) {
    this.#source = source;
    this.#target = target;
    this.#queueBytesMax = queueBytesMax;
    source.on('data', (bytes: Buffer) => this.#take(bytes));
    source.on('end', () => {
      this.#ended = true;
      this.#flush();
    });
    source.on('close', (hadError: boolean) => {
      this.#broken = hadError || !this.#ended;
      this.#flush();
    });
    target.on('drain', () => {
      this.#targetFull = false;
      this.#flush();
    });
    source.pause();
  }

  apply(condition: LinkCondition, blocked: boolean): void {
    this.#delayMs = condition.delayMs;
    this.#bytesPerSecond = condition.bytesPerSecond;
    this.#blocked = blocked;
    this.#flush();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#queue.length = 0;
    this.#queuedBytes = 0;
  }

  #take(bytes: Buffer): void {
    const now = Date.now();
    const slice =
      this.#bytesPerSecond === null
        ? bytes.length
        : Math.max(1, Math.ceil((this.#bytesPerSecond * sliceMs) / 1000));
    for (let at = 0; at < bytes.length; at += slice) {
      const part = bytes.subarray(at, at + slice);
      const lineMs = this.#bytesPerSecond === null ? 0 : (part.length * 1000) / this.#bytesPerSecond;
      this.#lineFreeAtMs = Math.max(now, this.#lineFreeAtMs) + lineMs;
      this.#queue.push({ bytes: part, dueAtMs: this.#lineFreeAtMs + this.#delayMs });
    }
    this.#queuedBytes += bytes.length;
    this.#flush();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    if (this.#blocked) {
      this.#source.pause();
      return;
    }
    this.#writeDue();
    if (this.#broken) reset(this.#target);
    else if (this.#ended && this.#queue.length === 0) this.#target.end();
    else if (this.#queuedBytes < this.#queueBytesMax && !this.#targetFull) this.#source.resume();
    else this.#source.pause();
  }

  #writeDue(): void {
    for (let head = this.#queue[0]; head !== undefined; head = this.#queue[0]) {
      if (this.#target.destroyed) return this.close();
      if (this.#targetFull) return;
      const waitMs = head.dueAtMs - Date.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#flush(), waitMs);
        return;
      }
      this.#queue.shift();
      this.#queuedBytes -= head.bytes.length;
      this.#targetFull = !this.#target.write(head.bytes);
    }
  }
}
