/** One direction of one connection: what is read at one end is written at the other, when its time has come. */
import type { Socket } from 'node:net';
import type { LinkCondition } from './condition.ts';
import { reset } from './reset.ts';

export interface Pipe {
  /** @param blocked nothing passes, not even the news of an end */
  apply(condition: LinkCondition, blocked: boolean): void;
  /** Forgets what waits. */
  close(): void;
}

interface Waiting {
  bytes: Buffer;
  dueAtMs: number;
}

/** A narrow link sends in slices of this time, so that a large chunk does not arrive at once after a long silence. */
const sliceMs = 20;

/**
 * Starts forwarding. Memory is bounded: beyond `queueBytesMax` waiting bytes, or while the target does not take more, the source
 * is not read.
 */
export function createPipe(source: Socket, target: Socket, queueBytesMax: number): Pipe {
  return new Forwarder(source, target, queueBytesMax);
}

class Forwarder implements Pipe {
  private readonly source: Socket;
  private readonly target: Socket;
  private readonly queueBytesMax: number;
  private readonly queue: Waiting[] = [];
  private queuedBytes = 0;
  private blocked = true;
  private delayMs = 0;
  private bytesPerSecond: number | null = null;
  /** When the last byte that was taken in will have left. */
  private lineFreeAtMs = 0;
  private targetFull = false;
  private ended = false;
  private broken = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(source: Socket, target: Socket, queueBytesMax: number) {
    this.source = source;
    this.target = target;
    this.queueBytesMax = queueBytesMax;
    source.on('data', (bytes: Buffer) => this.take(bytes));
    source.on('end', () => {
      this.ended = true;
      this.flush();
    });
    source.on('close', (hadError: boolean) => {
      this.broken = hadError || !this.ended;
      this.flush();
    });
    target.on('drain', () => {
      this.targetFull = false;
      this.flush();
    });
    source.pause();
  }

  apply(condition: LinkCondition, blocked: boolean): void {
    this.delayMs = condition.delayMs;
    this.bytesPerSecond = condition.bytesPerSecond;
    this.blocked = blocked;
    this.flush();
  }

  close(): void {
    clearTimeout(this.timer);
    this.queue.length = 0;
    this.queuedBytes = 0;
  }

  private take(bytes: Buffer): void {
    const now = Date.now();
    const slice =
      this.bytesPerSecond === null
        ? bytes.length
        : Math.max(1, Math.ceil((this.bytesPerSecond * sliceMs) / 1000));
    for (let at = 0; at < bytes.length; at += slice) {
      const part = bytes.subarray(at, at + slice);
      const lineMs = this.bytesPerSecond === null ? 0 : (part.length * 1000) / this.bytesPerSecond;
      this.lineFreeAtMs = Math.max(now, this.lineFreeAtMs) + lineMs;
      this.queue.push({ bytes: part, dueAtMs: this.lineFreeAtMs + this.delayMs });
    }
    this.queuedBytes += bytes.length;
    this.flush();
  }

  private flush(): void {
    clearTimeout(this.timer);
    if (this.blocked) {
      this.source.pause();
      return;
    }
    this.writeDue();
    if (this.broken) reset(this.target);
    else if (this.ended && this.queue.length === 0) this.target.end();
    else if (this.queuedBytes < this.queueBytesMax && !this.targetFull) this.source.resume();
    else this.source.pause();
  }

  private writeDue(): void {
    for (let head = this.queue[0]; head !== undefined; head = this.queue[0]) {
      if (this.target.destroyed) return this.close();
      if (this.targetFull) return;
      const waitMs = head.dueAtMs - Date.now();
      if (waitMs > 0) {
        this.timer = setTimeout(() => this.flush(), waitMs);
        return;
      }
      this.queue.shift();
      this.queuedBytes -= head.bytes.length;
      this.targetFull = !this.target.write(head.bytes);
    }
  }
}
