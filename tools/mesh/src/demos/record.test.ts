import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { judgeCount, judgeHolds, judgeRounds, type RecordLine } from './record.ts';

const exclusive = (one: string, other: string) => one === 'write' || other === 'write';
const lines = (...words: string[]): RecordLine[] =>
  words.map((word) => {
    const [who = '', act = '', kind = '', epoch = ''] = word.split(' ');
    return { who, act, kind, epoch };
  });

describe('the oracle of locks', () => {
  it('readers together and writers alone do not overlap', () => {
    const verdict = judgeHolds(
      lines(
        'a take read 1',
        'b take read 2',
        'a put read 1',
        'b put read 2',
        'c take write 3',
        'c put write 3',
      ),
      exclusive,
    );
    assert.deepEqual(verdict.overlaps, []);
    assert.deepEqual(verdict.together, { read: 2, all: 2, write: 1 });
    assert.deepEqual(verdict.holds, { read: 2, write: 1 });
  });

  it('a holder that acts after an excluded one has taken overlaps, reader or writer', () => {
    const written = judgeHolds(lines('a take read 1', 'b take write 2', 'a act read 1'), exclusive);
    assert.match(written.overlaps.join(), /a \(read, epoch 1\) acts after b \(write, epoch 2\) has taken/);
    const twice = judgeHolds(lines('a take write 1', 'b take write 2', 'a put write 1'), exclusive);
    assert.equal(twice.overlaps.length, 1);
    assert.match(judgeHolds(lines('a put read 1'), exclusive).overlaps.join(), /without having taken it/);
    const same = judgeHolds(lines('a take read 1', 'b take read 1'), exclusive);
    assert.match(same.overlaps.join(), /which a has/);
  });

  it('a holder that died and is followed by another one does not overlap', () => {
    const verdict = judgeHolds(lines('a take write 1', 'b take write 2', 'b put write 2'), exclusive);
    assert.deepEqual([verdict.overlaps, verdict.together['write']], [[], 1]);
  });
});

describe('the judge of a double barrier', () => {
  const round = (...words: string[]) =>
    judgeRounds(
      words.map((word) => {
        const [who = '', act = '', ...others] = word.split(' ');
        return { who, act, round: 1, others };
      }),
    )[0];

  it('a round is valid if all come before one begins and all are done before one goes', () => {
    const together = round(
      ...['a come', 'b come', 'a begun', 'b begun', 'b done', 'a done', 'a gone', 'b gone'],
    );
    assert.deepEqual([together?.beganTogether, together?.endedTogether], [true, true]);
    const early = round(
      ...['a come', 'a begun', 'b come', 'b begun', 'a done', 'b done', 'a gone', 'b gone'],
    );
    assert.equal(early?.beganTogether, false);
    const hasty = round(
      ...['a come', 'b come', 'a begun', 'b begun', 'a done', 'a gone', 'b done', 'b gone'],
    );
    assert.equal(hasty?.endedTogether, false);
  });

  it('a reported loss is not waited for, an unreported one is found', () => {
    const begun = ['a come', 'b come', 'a begun', 'b begun', 'a done'];
    const reported = round(...begun, 'a gone b');
    assert.deepEqual([reported?.endedTogether, reported?.lost], [true, ['b']]);
    assert.equal(round(...begun, 'a gone')?.endedTogether, false);
  });
});

describe('the judge of a counter', () => {
  it('an increment of unknown outcome may be counted or not; any other must be', () => {
    const may = { answered: 9, open: 1, lost: 0, doubled: 0 };
    assert.deepEqual(judgeCount(9, 10, 9), may);
    assert.deepEqual(judgeCount(10, 10, 9), may);
    assert.equal(judgeCount(8, 10, 9).lost, 1);
    assert.equal(judgeCount(12, 10, 9).doubled, 2);
  });
});
