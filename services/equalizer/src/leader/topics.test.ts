import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createLog, MeshError } from '@thermomesh/runtime';
import { readFromWhenThere } from './topics.ts';

const log = createLog('test', 'silent');
const refusal = new MeshError(
  'kafka.refused',
  'Replication factor is below 1 or larger than the number of brokers',
);

it('topics that starting brokers refuse are requested again until they exist', async () => {
  const events: string[] = [];
  let tries = 0;
  await readFromWhenThere({
    records: {
      ensure: async () => {
        tries += 1;
        if (tries < 3) throw refusal;
      },
    },
    reader: { start: () => void events.push('reads') },
    onAttempt: (error) => events.push(error === undefined ? 'ok' : 'refused'),
    signal: new AbortController().signal,
    log,
    pauseMs: 1,
  });
  assert.deepEqual(events, ['refused', 'refused', 'ok', 'reads']);
});

it('a stop ends the requests for topics, and nothing is read', async () => {
  const stopping = new AbortController();
  let started = 0;
  const refused = readFromWhenThere({
    records: {
      ensure: async () => {
        setImmediate(() => stopping.abort());
        throw refusal;
      },
    },
    reader: { start: () => void started++ },
    onAttempt: () => undefined,
    signal: stopping.signal,
    log,
    pauseMs: 3_600_000,
  });
  await refused;
  assert.equal(started, 0);
});
