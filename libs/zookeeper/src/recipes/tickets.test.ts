import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { randomly, roundRobin, sticky } from './balance.ts';
import { decode, encode } from './documents.ts';
import { everyoneBlocks, parseTicket, standingOf, ticketPrefix, ticketsIn, writersBlock } from './tickets.ts';

const ticket = (kind: string, sequence: number, guid: string = randomUUID()) =>
  ticketPrefix(kind, guid) +
  (sequence < 0 ? `-${String(-sequence).padStart(9, '0')}` : String(sequence).padStart(10, '0'));

describe('tickets', () => {
  it('are read as they were drawn, and whatever else lies there is none', () => {
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

  it('stand in the order of their numbers, past the end of the counter, in whatever order the server lists them', () => {
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

  it('each watches only the one before: the death of any of them wakes one', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), (count) => {
        const names = Array.from({ length: count }, (_, index) => ticket('lock', index));
        const watched = names.map((name) => standingOf(names, name, everyoneBlocks)?.blocker?.name);
        assert.deepEqual(watched, [undefined, ...names.slice(0, -1)]);
      }),
    );
  });

  it('a reader waits for the last writer before it, a writer for whoever is before it', () => {
    const [w1, r2, r3, w4, r5] = ['write', 'read', 'read', 'write', 'read'].map((kind, index) =>
      ticket(kind, index),
    );
    const names = [r5, w4, r3, r2, w1].map(String);
    const blocker = (name?: string) => standingOf(names, String(name), writersBlock)?.blocker?.name;
    assert.deepEqual([w1, r2, r3, w4, r5].map(blocker), [undefined, w1, w1, r3, w4]);
  });

  it('whoever may act together, no two that block each other ever do', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('read', 'write'), { minLength: 1, maxLength: 12 }), (kinds) => {
        let names = kinds.map((kind, index) => ticket(kind, index));
        while (names.length > 0) {
          const acting = names.filter((name) => standingOf(names, name, writersBlock)?.blocker === undefined);
          const writers = acting.filter((name) => name.startsWith('write'));
          assert.ok(acting.length > 0 && (writers.length === 0 || acting.length === 1), acting.join());
          names = names.filter((name) => name !== acting[0]);
        }
      }),
    );
  });

  it('a second one of mine is a stray, and one that is gone has no standing', () => {
    const guid = randomUUID();
    const [first, second] = [ticket('lock', 1, guid), ticket('lock', 2, guid)];
    const standing = standingOf([first, second], second, everyoneBlocks);
    assert.deepEqual(
      standing?.strays.map(({ name }) => name),
      [first],
    );
    assert.equal(standingOf([first], second, everyoneBlocks), undefined);
  });
});

describe('balancing', () => {
  const instances = ['a', 'b', 'c', 'd'].map((id) => ({ id }));

  it('takes turns, or chances, and never falls off the list', () => {
    const next = roundRobin();
    assert.deepEqual(
      [1, 2, 3, 4, 5].map(() => next(instances)),
      [0, 1, 2, 3, 0],
    );
    assert.equal(next(instances.slice(0, 1)), 0);
    assert.deepEqual(
      [0, 0.5, 0.999, 1].map((chance) => randomly(() => chance)(instances)),
      [0, 2, 3, 3],
    );
  });

  it('a key stays with its instance until that one leaves', () => {
    fc.assert(
      fc.property(fc.string(), fc.constantFrom('a', 'b', 'c', 'd'), (key, gone) => {
        const chosen = instances[sticky(key)(instances)]?.id;
        const rest = instances.filter(({ id }) => id !== gone);
        if (chosen !== gone) assert.equal(rest[sticky(key)(rest)]?.id, chosen);
      }),
    );
  });
});

describe('documents', () => {
  it('survive the way there and back; what is none is undefined', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) =>
        assert.deepEqual(decode(encode(value)), JSON.parse(JSON.stringify(value))),
      ),
    );
    assert.equal(decode(Buffer.from('{')), undefined);
  });
});
