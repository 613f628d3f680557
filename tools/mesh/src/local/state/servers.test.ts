import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeMismatch, judgeServer, mayAdopt, type FoundServer, type KnownServer } from './servers.ts';

const own: KnownServer = { id: 'a', address: null };
const other: KnownServer = { id: 'b', address: 'postgresql://db:5432/fleet' };
const found = (more: Partial<FoundServer> = {}): FoundServer => ({
  address: other.address,
  id: 'b',
  mesh: { id: 'me', name: 'main' },
  inUse: false,
  ...more,
});

describe('a server that a mesh was given', () => {
  it('the first use is trusted, and so is the server that the mesh knows', () => {
    assert.equal(judgeServer('me', undefined, found({ id: null, mesh: null })), undefined);
    assert.equal(judgeServer('me', undefined, found()), undefined);
    assert.equal(judgeServer('me', other, found({ inUse: true })), undefined);
  });

  it('row 1: an empty server in place of the known one is refused, with the choice', () => {
    const empty = found({ id: null, mesh: null });
    const mismatch = judgeServer('me', own, empty);
    assert.deepEqual(mismatch, { why: 'other_server', known: own });
    const text = describeMismatch('main', 'database', empty, mismatch);
    assert.match(text, /^PostgreSQL at postgresql:\/\/db:5432\/fleet \(DATABASE_URL\) is not the one/);
    assert.match(text, /go back {3}unset DATABASE_URL/);
    assert.match(text, /adopt it {2}mesh up --name main --adopt database$/m);
    assert.match(text, /mesh up --name <name> starts another mesh/);
    assert.equal(mayAdopt('me', empty), true);
  });

  it('the way back names the former address', () => {
    const back = found({ address: null, id: 'a' });
    const text = describeMismatch('main', 'database', back, judgeServer('me', other, back)!);
    assert.match(text, /go back {3}DATABASE_URL=postgresql:\/\/db:5432\/fleet$/m);
  });

  it('a server of another mesh is refused, and not even adopted while it is in use', () => {
    const theirs = found({ mesh: { id: 'they', name: 'second' }, inUse: true });
    for (const known of [undefined, other]) {
      const mismatch = judgeServer('me', known, theirs);
      assert.deepEqual(mismatch, { why: 'other_mesh', mesh: 'second', inUse: true });
      assert.match(
        describeMismatch('main', 'database', theirs, mismatch),
        /belongs to the mesh "second", which/,
      );
    }
    assert.equal(mayAdopt('me', theirs), false);
    assert.equal(mayAdopt('me', { ...theirs, inUse: false }), true);
    assert.equal(mayAdopt('me', found({ inUse: true })), true);
  });
});
