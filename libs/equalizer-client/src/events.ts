/** Reads a stream of server-sent events and notices when it falls silent. */
import { messageOf } from '@thermomesh/runtime';
import { EventSourceParserStream, type EventSourceMessage } from 'eventsource-parser/stream';
import { EqualizerNoAnswerError } from './errors.ts';
import { accepted, call, type Ask } from './http.ts';

export interface EventLimits {
  headersTimeoutMs: number;
  silenceTimeoutMs: number;
  signal: AbortSignal | undefined;
}

/**
 * Opens the stream.
 * @returns its events. The iteration ends with the stream, and throws {@link
 *   EqualizerNoAnswerError} if the stream breaks or falls silent
 * @throws EqualizerRefusedError · EqualizerNoAnswerError
 */
export async function eventsOf(
  ask: Ask,
  limits: EventLimits,
): Promise<AsyncGenerator<EventSourceMessage, void>> {
  const silence = new AbortController();
  const signal =
    limits.signal === undefined ? silence.signal : AbortSignal.any([silence.signal, limits.signal]);
  const timer = setTimeout(() => silence.abort(), limits.headersTimeoutMs);
  try {
    const response = await accepted(await call(ask, signal));
    return iterate(response, timer, silence, limits.silenceTimeoutMs);
  } catch (error) {
    clearTimeout(timer);
    throw error;
  }
}

async function* iterate(
  response: Response,
  first: NodeJS.Timeout,
  silence: AbortController,
  silenceTimeoutMs: number,
): AsyncGenerator<EventSourceMessage, void> {
  clearTimeout(first);
  const timer = setTimeout(() => silence.abort(), silenceTimeoutMs);
  try {
    if (response.body === null) return;
    // Every byte shows that the server is alive, heartbeats included.
    const alive = new TransformStream<Uint8Array, Uint8Array>({
      transform(bytes, controller) {
        timer.refresh();
        controller.enqueue(bytes);
      },
    });
    const events = response.body
      .pipeThrough(alive)
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new EventSourceParserStream());
    for await (const event of events) yield event;
  } catch (cause) {
    throw new EqualizerNoAnswerError(`the events broke off: ${messageOf(cause)}`, { cause });
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}
