import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { everyoneBlocks, parseTicket, positionOf, ticketPrefix, ticketsIn, writersBlock } from './tickets.ts';

const ticket = (kind: string, sequence: number, guid: string = randomUUID()) =>
  ticketPrefix(kind, guid) +
  (sequence < 0 ? `-${String(-sequence).padStart(9, '0')}` : String(sequence).padStart(10, '0'));

describe('tickets', () => {
  it('tickets are parsed as they were drawn, and other names are ignored', () => {
    const guid = randomUUID();
    assert.deepEqual(parseTicket(ticket('lock', 7, guid)), {
      name: ticket('lock', 7, guid),
      kind: 'lock',
      guid,
      sequence: 7,
    });
    for (const name of ['', 'leader', 'lock-0000000007', `lock-${guid}-7`, `lock-${guid}`]) {
      assert.equal(parseTicket(name), undefined);
    }
  });

  it('tickets keep the order of their numbers, past the end of the counter', () => {
    const max = 2 ** 31 - 1;
    const inOrder = [
      ticket('a', max - 1),
      ticket('b', max),
      ticket('c', -(2 ** 31)),
      ticket('d', 1 - 2 ** 31),
    ];
    fc.assert(
      fc.property(fc.shuffledSubarray([...inOrder, 'stranger']), (names) => {
        const expected = inOrder.filter((name) => names.includes(name));
        assert.deepEqual(
          ticketsIn(names).map(({ name }) => name),
          expected,
        );
      }),
    );
  });

  it('each ticket watches only the one before: a death wakes one waiter', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), (count) => {
        const names = Array.from({ length: count }, (_, index) => ticket('lock', index));
        const watched = names.map((name) => positionOf(names, name, everyoneBlocks)?.blocker?.name);
        assert.deepEqual(watched, [undefined, ...names.slice(0, -1)]);
      }),
    );
  });

  it('a reader waits for the last writer before it, a writer for its predecessor', () => {
    const [w1, r2, r3, w4, r5] = ['write', 'read', 'read', 'write', 'read'].map((kind, index) =>
      ticket(kind, index),
    );
    const names = [r5, w4, r3, r2, w1].map(String);
    const blocker = (name?: string) => positionOf(names, String(name), writersBlock)?.blocker?.name;
    assert.deepEqual([w1, r2, r3, w4, r5].map(blocker), [undefined, w1, w1, r3, w4]);
  });

  it('no two tickets that block each other may ever act together', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('read', 'write'), { minLength: 1, maxLength: 12 }), (kinds) => {
        let names = kinds.map((kind, index) => ticket(kind, index));
        while (names.length > 0) {
          const acting = names.filter((name) => positionOf(names, name, writersBlock)?.blocker === undefined);
          const writers = acting.filter((name) => name.startsWith('write'));
          assert.ok(acting.length > 0 && (writers.length === 0 || acting.length === 1), acting.join());
          names = names.filter((name) => name !== acting[0]);
        }
      }),
    );
  });

  it('a second ticket of mine is a stray, and a ticket that is gone has no position', () => {
    const guid = randomUUID();
    const [first, second] = [ticket('lock', 1, guid), ticket('lock', 2, guid)];
    const standing = positionOf([first, second], second, everyoneBlocks);
    assert.deepEqual(
      standing?.strays.map(({ name }) => name),
      [first],
    );
    assert.equal(positionOf([first], second, everyoneBlocks), undefined);
  });
});
