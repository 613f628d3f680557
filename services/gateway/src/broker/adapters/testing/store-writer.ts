/**
 * A process that a test kills. It commits numbered records as fast as it can, and prints the number
 * of each record that is durable.
 */
import { writeSync } from 'node:fs';
import { numberKey, numberValue, readNumber } from '../../core/keys.ts';
import type { Operation } from '../../core/ports.ts';
import { openLmdbStore } from '../lmdb-store.ts';

const store = await openLmdbStore({ path: process.argv[2]!, mapBytesMax: 2 ** 27 });
const lastKey = Buffer.from('last');
const before = store.get('meta', lastKey);
let last = before === undefined ? 0 : readNumber(before);

for (;;) {
  const operations: Operation[] = [];
  for (let count = 0; count < 100; count++) {
    last += 1;
    operations.push({
      table: 'drain',
      key: numberKey(last),
      value: Buffer.alloc(100 + (last % 5000), last % 251),
    });
  }
  operations.push({ table: 'meta', key: lastKey, value: numberValue(last) });
  await store.commit(operations).durable;
  writeSync(1, `${last}\n`);
}
