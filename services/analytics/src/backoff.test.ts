import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createBackoff } from './backoff.ts';

it('an aborted pause ends at once', async () => {
  const backoff = createBackoff({ minMs: 3_600_000, maxMs: 3_600_000 });
  await backoff.wait(AbortSignal.abort());
  const controller = new AbortController();
  const waiting = backoff.wait(controller.signal);
  controller.abort();
  await waiting;
});

it('pauses grow to the limit and start anew after a reset', async () => {
  const pauses: number[] = [];
  const record = async (ms: number) => void pauses.push(ms);
  const backoff = createBackoff({ minMs: 10, maxMs: 35 }, () => 1, record);
  const { signal } = new AbortController();
  for (let i = 0; i < 4; i++) await backoff.wait(signal);
  backoff.reset();
  await backoff.wait(signal);
  assert.deepEqual(pauses, [10, 20, 35, 35, 10]);
});

it('jitter spreads a pause over the whole range above the floor', async () => {
  const pauses: number[] = [];
  const backoff = createBackoff(
    { minMs: 10, maxMs: 1000 },
    () => 0,
    async (ms) => void pauses.push(ms),
  );
  for (let i = 0; i < 3; i++) await backoff.wait(new AbortController().signal);
  assert.deepEqual(pauses, [10, 10, 10]);
});
