import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Activity, StoreWrite } from './activity.ts';
import { remainsAt } from './power-loss.ts';

const none: Activity = { writes: [], syncs: [], creations: [], folderSyncs: [], sent: [], accepted: [] };
const written = (offset: number, text: string, begin: number, isSynchronous = false): StoreWrite => ({
  offset,
  bytes: Buffer.from(text),
  isSynchronous,
  begin,
  end: begin + 1,
});

/** Numbers that begin with `first`, which chooses the fate, and go on with `rest` in turn. */
function chosen(first: number, ...rest: number[]): () => number {
  let at = -1;
  return () => (at++ < 0 ? first : rest[(at - 1) % rest.length]!);
}
const [nothing, everything, wholeWrites, sectors] = [0, 0.3, 0.6, 0.9];

it('a write that a sync has covered stays, whatever happens to the others', () => {
  const activity = {
    ...none,
    writes: [written(0, 'ab', 0), written(2, 'cd', 6)],
    syncs: [{ begin: 2, end: 3 }],
  };
  const { content, unsynced } = remainsAt(activity, 10, chosen(nothing));
  assert.deepEqual([content?.toString(), unsynced], ['ab', 1]);
  assert.equal(remainsAt(activity, 10, chosen(everything)).content?.toString(), 'abcd');
});

it('a sync that began before the end of a write does not cover it', () => {
  const activity = { ...none, writes: [written(0, 'ab', 2)], syncs: [{ begin: 1, end: 9 }] };
  assert.equal(remainsAt(activity, 10, chosen(nothing)).content?.length, 0);
});

it('a sync that has not ended covers nothing yet', () => {
  const activity = { ...none, writes: [written(0, 'ab', 0)], syncs: [{ begin: 2, end: 9 }] };
  assert.equal(remainsAt(activity, 8, chosen(nothing)).content?.length, 0);
  assert.equal(remainsAt(activity, 10, chosen(nothing)).content?.length, 2);
});

it('a synchronous write stays once it has ended, without any sync', () => {
  const activity = { ...none, writes: [written(0, 'ab', 0, true)] };
  assert.equal(remainsAt(activity, 0.5, chosen(nothing)).content?.length, 0);
  assert.equal(remainsAt(activity, 2, chosen(nothing)).content?.length, 2);
});

it('any of the unsynced writes and sectors may survive', () => {
  const writes = [written(0, 'a'.repeat(1024), 0), written(1024, 'b'.repeat(512), 2)];
  const second = remainsAt({ ...none, writes }, 10, chosen(wholeWrites, 0.9, 0.1)).content;
  assert.deepEqual([second?.length, second?.[0], second?.[1024]], [1536, 0, 0x62]);
  const middle = remainsAt({ ...none, writes }, 10, chosen(sectors, 0.9, 0.1, 0.9)).content;
  assert.deepEqual([middle?.length, middle?.[0], middle?.[512]], [1024, 0, 0x61]);
});

it('a new file may be missing until the folder that it stands in was synced', () => {
  const creations = [{ path: '/s/data.mdb', begin: 0, end: 1 }];
  const synced = { ...none, creations, folderSyncs: [{ path: '/s', begin: 2, end: 3 }] };
  assert.equal(remainsAt({ ...none, creations }, 10, chosen(nothing, 0.9)).content, undefined);
  assert.notEqual(remainsAt(synced, 10, chosen(nothing, 0.9)).content, undefined);
  assert.equal(remainsAt(synced, 2.5, chosen(nothing, 0.9)).content, undefined);
});
