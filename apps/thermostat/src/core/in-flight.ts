/**
 * The messages of one device that are published and not yet acknowledged, in the order of sending.
 */

/** One published message. */
export interface InFlightMessage {
  packetId: number;
  /** Number of the message within its device. */
  number: number;
  /** The payload as latin1 text, one character per byte. */
  payload: string;
  /** Time of the first send, in microseconds after the start of the run. */
  sentUs: number;
  /** False for poison. */
  good: boolean;
}

/** The highest packet id: ids have 16 bits and are never 0 [MQTT-2.3.1-1]. */
export const packetIdMax = 0xffff;

/**
 * A first-in-first-out window. A broker acknowledges in order [MQTT-4.6.0-2], so the head is
 * checked first. Acknowledgements out of order are handled too, and counted.
 */
export class InFlight {
  #queue: InFlightMessage[] = [];
  #head = 0;
  #lastPacketId = 0;
  outOfOrderAcks = 0;

  get size(): number {
    return this.#queue.length - this.#head;
  }

  /**
   * Adds a message and returns its packet id. The window must be smaller than the number of packet
   * ids.
   */
  add(message: Omit<InFlightMessage, 'packetId'>): number {
    this.#lastPacketId = this.#lastPacketId === packetIdMax ? 1 : this.#lastPacketId + 1;
    const { number, payload, sentUs, good } = message;
    this.#queue.push({ packetId: this.#lastPacketId, number, payload, sentUs, good });
    return this.#lastPacketId;
  }

  /** Removes and returns the acknowledged message; undefined for an id that is not in flight. */
  ack(packetId: number): InFlightMessage | undefined {
    const first = this.#queue[this.#head];
    if (first?.packetId === packetId) {
      this.#head++;
      this.#compact();
      return first;
    }
    const at = this.#queue.findIndex(
      (message, index) => index >= this.#head && message.packetId === packetId,
    );
    if (at < 0) return undefined;
    this.outOfOrderAcks++;
    return this.#queue.splice(at, 1)[0];
  }

  /** Returns all messages, oldest first: a reconnected device sends them again [MQTT-4.6.0-1]. */
  pending(): readonly InFlightMessage[] {
    return this.#queue.slice(this.#head);
  }

  #compact(): void {
    if (this.#head === this.#queue.length) {
      this.#queue.length = 0;
      this.#head = 0;
    } else if (this.#head >= 256) {
      this.#queue.splice(0, this.#head);
      this.#head = 0;
    }
  }
}
