import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RecordTooLargeError, recordBytesMax } from '@thermomesh/contracts';
import { Lane, type OutgoingRecord } from './lane.ts';

const record = (text: string): OutgoingRecord => ({ key: null, value: Buffer.from(text) });

/** A lane whose broker answers when the test calls `answer`. */
function open(options: { batchRecordsMax?: number; batchBytesMax?: number } = {}) {
  const batches: { texts: string[]; answer: (offset: number | Error) => void }[] = [];
  let bytes = 0;
  const lane = new Lane({
    batchRecordsMax: options.batchRecordsMax ?? 10,
    batchBytesMax: options.batchBytesMax ?? 1_000,
    append: async (records) =>
      new Promise((resolve, reject) => {
        const texts = records.map(({ value }) => value.toString());
        batches.push({
          texts,
          answer: (offset) => (offset instanceof Error ? reject(offset) : resolve(offset)),
        });
      }),
    onBytes: (more) => (bytes += more),
  });
  return { lane, batches, bytes: () => bytes };
}

const turn = async () => new Promise((resolve) => setImmediate(resolve));

describe('the records of a partition', () => {
  it('records travel one batch at a time, so that a repetition is the same batch', async () => {
    const { lane, batches, bytes } = open();
    const first = lane.send(record('a'), 'a');
    const second = lane.send(record('b'), 'b');
    await turn();
    const third = lane.send(record('c'), 'c');
    await turn();
    assert.deepEqual(
      batches.map(({ texts }) => texts),
      [['a', 'b']],
    );
    batches[0]?.answer(7);
    assert.deepEqual(await Promise.all([first, second]), [7, 8]);
    await turn();
    batches[1]?.answer(9);
    assert.equal(await third, 9);
    await lane.idle();
    assert.equal(bytes(), 0);
  });

  it('a batch that fails fails only its own records', async () => {
    const { lane, batches } = open({ batchRecordsMax: 1 });
    const first = assert.rejects(lane.send(record('a'), 'a'), /gone/);
    const second = lane.send(record('b'), 'b');
    await turn();
    batches[0]?.answer(new Error('gone'));
    await first;
    await turn();
    batches[1]?.answer(0);
    assert.equal(await second, 0);
  });

  it('a batch respects its byte limit and takes at least one record', async () => {
    const { lane, batches } = open({ batchBytesMax: 4 });
    const sent = ['aaaaaa', 'bb', 'cc', 'dd'].map(async (text) => lane.send(record(text), text));
    for (let at = 0; at < 3; at++) {
      await turn();
      batches[at]?.answer(at * 10);
    }
    assert.deepEqual(await Promise.all(sent), [0, 10, 11, 20]);
    assert.deepEqual(
      batches.map(({ texts }) => texts),
      [['aaaaaa'], ['bb', 'cc'], ['dd']],
    );
  });

  it('a record over 256 KiB is refused before anything is sent', async () => {
    const { lane, batches } = open();
    await assert.rejects(
      lane.send({ key: Buffer.alloc(1), value: Buffer.alloc(recordBytesMax) }, 'it'),
      RecordTooLargeError,
    );
    await turn();
    assert.equal(batches.length, 0);
  });
});
