import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { acked, endLine, header, headerLine, ledgerOf, parseText, poison, sent } from './fixtures.ts';
import { LedgerError } from './errors.ts';
import { resentLine, sentLine } from './lines.ts';

const damaged = (lineNumber: number) => (error: unknown) =>
  error instanceof LedgerError &&
  error.code === 'ledger.damaged' &&
  error.message.includes(`line ${lineNumber}:`);

describe('a ledger', () => {
  const whole =
    headerLine(header) +
    sent(0, 0) +
    sent(1, 0) +
    acked(1, 0) +
    sent(0, 1) +
    resentLine(0, 1, 9) +
    acked(0, 1);

  it('a ledger reads the same however its bytes are cut into chunks', () => {
    for (const chunkBytes of [1, 2, 7, 64, 1 << 20]) {
      const ledger = parseText(whole, chunkBytes);
      assert.deepEqual(
        [ledger.sent, ledger.acked, ledger.resent, ledger.torn, ledger.end],
        [3, 2, 1, false, null],
      );
      assert.deepEqual(ledger.header, header);
    }
  });

  it('a ledger of a killed writer holds the whole lines and nothing else', () => {
    const bytes = Buffer.from(whole);
    for (let length = headerLine(header).length; length < bytes.length; length++) {
      const text = bytes.toString('latin1', 0, length);
      const ledger = parseText(text);
      const lines = text.split('\n').slice(1, -1);
      assert.equal(ledger.torn, !text.endsWith('\n'));
      assert.equal(ledger.sent, lines.filter((line) => line.startsWith('S')).length);
      assert.equal(ledger.acked, lines.filter((line) => line.startsWith('A')).length);
    }
  });

  it('a ledger keeps every value that was written', () => {
    const decimal = fc.double({ min: -270, max: 999, noNaN: true }).map((value) => value.toFixed(2));
    const optional = fc.oneof(fc.constant(''), decimal);
    const heating = fc.constantFrom('' as const, '0' as const, '1' as const);
    const delta = fc.integer({ min: -400_000_000, max: 400_000_000 });
    fc.assert(
      fc.property(
        decimal,
        optional,
        optional,
        heating,
        delta,
        fc.nat(),
        (celsius, setpoint, humidity, heats, measuredAtMs, atUs) => {
          const { entries } = ledgerOf(
            sentLine({
              device: 2,
              number: 0,
              atUs,
              measuredAtMs,
              celsius,
              setpointCelsius: setpoint,
              humidityPercent: humidity,
              heating: heats,
            }),
          );
          const real = (text: string) => (text === '' ? NaN : Math.fround(Number(text)));
          assert.deepEqual(
            [entries.celsius[0], entries.setpointCelsius[0], entries.humidityPercent[0], entries.heating(0)],
            [real(celsius), real(setpoint), real(humidity), heats === '' ? null : heats === '1'],
          );
          assert.equal(entries.measuredAtMs[0], header.startedAtMs + measuredAtMs);
          assert.equal(entries.sentUs[0], atUs);
        },
      ),
    );
  });

  it('entries are found also after the columns have grown', () => {
    const { entries } = ledgerOf(
      ...Array.from({ length: 5000 }, (_, number) => sent(number % 3, Math.floor(number / 3))),
    );
    assert.deepEqual([entries.find(0, 1666), entries.find(1, 0), entries.find(2, 1665)], [4998, 1, 4997]);
    assert.deepEqual(
      [entries.find(2, 1666), entries.find(7, 0), entries.find(-1, 0), entries.find(0, -1)],
      [-1, -1, -1, -1],
    );
  });

  const damages: [name: string, lines: string[]][] = [
    ['a line cut in the middle', [sent(0, 0).slice(0, 12) + '\n']],
    ['a line of another kind', ['X,1,2\n']],
    ['an empty line', ['\n']],
    ['letters where digits belong', ['A,0,x,3\n']],
    ['a field too many', ['A,0,0,3,4\n']],
    ['an ack of what was not sent', [acked(0, 0)]],
    ['a device that is not of the run', [sent(3, 0)]],
    ['a reading without celsius', ['S,0,0,1,1,,,,\n']],
    [
      'something behind the end',
      [endLine({ sent: 0, acked: 0, poisoned: 0, resent: 0, interrupted: false }), sent(0, 0)],
    ],
  ];
  for (const [name, lines] of damages) {
    it(`a ledger is damaged by ${name}, and the error names the line`, () => {
      assert.throws(() => ledgerOf(...lines), damaged(1 + lines.length));
    });
  }

  it('a second send or ack of a message damages the ledger', () => {
    assert.throws(() => ledgerOf(sent(0, 0), sent(0, 0)), damaged(3));
    assert.throws(() => ledgerOf(poison(0, 0, 'a'), poison(0, 1, 'a')), damaged(3));
    assert.throws(() => ledgerOf(sent(0, 0), acked(0, 0), acked(0, 0)), damaged(4));
  });

  it('lines missing before the end line damage the ledger', () => {
    const end = endLine({ sent: 2, acked: 0, poisoned: 0, resent: 0, interrupted: false });
    assert.throws(() => ledgerOf(sent(0, 0), end), /counted 2 sent, the lines say 1/);
  });

  it('a ledger of another format or without header is refused', () => {
    assert.throws(() => parseText('H {"format":"other.v9"}\n'), damaged(1));
    assert.throws(() => parseText(sent(0, 0)), damaged(1));
    assert.throws(() => parseText(''), LedgerError);
  });
});
