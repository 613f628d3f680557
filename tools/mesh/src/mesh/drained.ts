/** Waits until PostgreSQL has what the gateway has accepted. */
import type { Mesh } from './mesh.ts';
import { readBroker } from './status.ts';
import { until } from './until.ts';

export interface DrainedOptions {
  timeoutMs: number;
  /** Receives from time to time the number of messages that are left. */
  onProgress?: (remaining: number) => void;
}

/**
 * Waits until everything that the gateway has accepted up to now is drained. Later traffic does not
 * prolong the wait, because the drain session is served in order.
 * @throws MeshError `mesh.timeout`
 */
export async function untilDrained(mesh: Mesh, options: DrainedOptions): Promise<void> {
  const deadline = Date.now() + options.timeoutMs;
  const first = await until({ what: 'an answer of the gateway', timeoutMs: options.timeoutMs }, async () =>
    readBroker(mesh),
  );
  const target = first.counters.accepted;
  await until(
    { what: 'the backlog to be drained', timeoutMs: Math.max(0, deadline - Date.now()) },
    async () => {
      const broker = await readBroker(mesh);
      if (broker === undefined) return false;
      const remaining = target - (broker.counters.accepted - broker.counters.buffered);
      if (remaining > 0) options.onProgress?.(remaining);
      return remaining <= 0;
    },
  );
}
