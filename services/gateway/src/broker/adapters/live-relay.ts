/** Passes publishes to live subscribers without making the publisher wait for them. */
import mqemitter, { type Message, type MQEmitter } from 'mqemitter';

/**
 * An emitter that reports "done" at once. Aedes' own emitter handles `concurrency` messages at a
 * time and waits until every subscriber has taken them, so one frozen subscriber stops the broker.
 * Here SUBSCRIBER_BUFFER_BYTES_MAX bounds what a frozen subscriber can hold.
 */
export function createLiveRelay(): MQEmitter {
  const relay = mqemitter({ concurrency: 0, matchEmptyLevels: true });
  const emit = relay.emit.bind(relay);
  relay.emit = (message: Message, done?: (error?: Error) => void) => {
    emit(message);
    // Not in this turn: Aedes would read the next packet while it still parses this one.
    if (done !== undefined) process.nextTick(done);
  };
  return relay;
}
