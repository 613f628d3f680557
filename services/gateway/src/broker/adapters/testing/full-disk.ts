/**
 * A process under a file size limit. It fills the store, fails three times, removes records, writes
 * again, and prints the result.
 */
import { codeOf } from '@thermomesh/runtime';
import { numberKey } from '../../core/keys.ts';
import { openLmdbStore } from '../lmdb-store.ts';

// Without a handler the signal of the limit ends the process; with one the write fails, as on a
// full disk.
process.on('SIGXFSZ', () => undefined);

const store = await openLmdbStore({ path: process.argv[2]!, mapBytesMax: 2 ** 27 });
const value = Buffer.alloc(50_000, 1);
const write = (number: number) => store.commit([{ table: 'drain', key: numberKey(number), value }]).durable;
const codes: (string | undefined)[] = [];
let written = 0;
while (codes.length < 3) {
  try {
    await write(written);
    written += 1;
  } catch (error) {
    codes.push(codeOf(error));
  }
}
for (const number of [0, 1, 2]) {
  await store.commit([{ table: 'drain', key: numberKey(number) }]).durable;
}
await write(1_000_000);
const left = [...store.keys('drain')].length;
await store.close();
console.log(JSON.stringify({ codes, left, written }));
