/** How a publish reaches live subscribers: without making its publisher wait for them. */
import mqemitter, { type Message, type MQEmitter } from 'mqemitter';

/**
 * An emitter that says "done" at once. Aedes' own waits until every subscriber has taken the message, at most `concurrency`
 * messages at a time, so one frozen subscriber stops the broker. What a subscriber may hold up instead is bounded by
 * SUBSCRIBER_BUFFER_BYTES_MAX.
 */
export function createRelay(): MQEmitter {
  const relay = mqemitter({ concurrency: 0, matchEmptyLevels: true });
  const emit = relay.emit.bind(relay);
  relay.emit = (message: Message, done?: (error?: Error) => void) => {
    emit(message);
    // Not in this turn: Aedes would read the next packet while it parses this one.
    if (done !== undefined) process.nextTick(done);
  };
  return relay;
}
