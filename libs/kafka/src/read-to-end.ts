/** Reads what a topic holds now: a successor learns what its predecessor knew. */
import { messageOf } from '@thermomesh/runtime';
import type { Client } from './client.ts';
import { KafkaUnavailableError } from './errors.ts';
import { openReader } from './reader.ts';
import type { IncomingRecord } from './slot.ts';
import type { TopicAdmin } from './topics.ts';

export interface ReadToEndOptions {
  topic: string;
  /**
   * The offset to start from, by partition. Default: the first offset that the topic still holds.
   */
  from?: ReadonlyMap<number, number>;
  handle: (record: IncomingRecord) => void | Promise<void>;
  deadlineMs: number;
}

/**
 * Passes every record to `handle`, up to the end that each partition has at the call, in sequence
 * within a partition.
 * @returns those ends by partition, which is where to continue reading
 * @throws KafkaUnavailableError when the deadline passes; what `handle` throws
 */
export async function readToEnd(
  client: Client,
  admin: TopicAdmin,
  options: ReadToEndOptions,
): Promise<Map<number, number>> {
  const { topic, from, handle, deadlineMs } = options;
  const ranges = await admin.ranges(topic);
  const ends = new Map(ranges.map(({ partition, end }) => [partition, end]));
  const open = new Map<number, { start: number; end: number }>();
  for (const { partition, start, end } of ranges) {
    const begin = Math.max(start, from?.get(partition) ?? start);
    if (begin < end) open.set(partition, { start: begin, end });
  }
  if (open.size === 0) return ends;
  await new Promise<void>((resolve, reject) => {
    const reader = openReader(client, {
      topic,
      handle: async (record) => {
        const end = open.get(record.partition)?.end ?? 0;
        if (record.offset < end) await handle(record);
        if (record.offset >= end - 1) open.delete(record.partition);
        if (open.size === 0) finish(resolve);
      },
      onFailed: (_partition, error) =>
        finish(() => reject(error instanceof Error ? error : new Error(messageOf(error)))),
    });
    const late = new KafkaUnavailableError(undefined, `${topic} could not be read in ${deadlineMs} ms`);
    const timer = setTimeout(() => finish(() => reject(late)), deadlineMs);
    let finished = false;
    function finish(settle: () => void): void {
      if (finished) return;
      finished = true;
      clearTimeout(timer);
      // Not awaited in `handle`, because `stop` waits for `handle`.
      reader.stop().then(settle, reject);
    }
    for (const [partition, { start }] of open) reader.lead(partition, start);
    reader.start();
  });
  return ends;
}
