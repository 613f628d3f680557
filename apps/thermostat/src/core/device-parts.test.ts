import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Reading } from '@thermomesh/contracts';
import fc from 'fast-check';
import { deviceTimeMs } from './clock.ts';
import { InFlight, packetIdMax } from './in-flight.ts';
import { Outbox } from './outbox.ts';
import { createRandom } from './random.ts';
import { reconnectLimits, reconnectPauseMs } from './reconnect.ts';
import { seqBlock, Sequence } from './sequence.ts';

const reading = (seq: number): Reading => ({
  deviceId: 'd',
  incarnation: 0,
  seq,
  measuredAtMs: seq,
  celsius: 20,
  setpointCelsius: null,
  humidityPercent: null,
  heating: null,
});
const seqs = (outbox: Outbox) => outbox.all().map(({ seq }) => seq);

describe('sequence numbers', () => {
  it('sequence numbers are never used twice, whenever the device is killed', () => {
    // After a kill -9 a start knows only what is on disk.
    const step = fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: 1, max: 700 }).map((count) => ({ take: count })) },
      fc.constant('save' as const),
      fc.constant('save, then killed before it is known' as const),
      fc.constant('killed' as const),
      fc.constant('stopped' as const),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let disk = 0;
        let sequence = new Sequence(disk);
        let last = -1;
        for (const one of steps) {
          if (typeof one === 'object') {
            for (let taken = 0; taken < one.take; taken++) {
              const seq = sequence.take();
              if (seq === undefined) break;
              assert.ok(seq > last, `${seq} after ${last}`);
              last = seq;
            }
          } else if (one === 'save') {
            disk = sequence.endWithNextBlock;
            sequence.reserved(disk);
          } else {
            if (one === 'stopped') disk = sequence.next;
            if (one === 'save, then killed before it is known') disk = sequence.endWithNextBlock;
            sequence = new Sequence(disk);
          }
        }
      }),
    );
  });

  it('sequence numbers are not used before their block is on disk', () => {
    const sequence = new Sequence(7);
    assert.equal(sequence.take(), undefined);
    assert.ok(sequence.low);
    sequence.reserved(sequence.endWithNextBlock);
    assert.deepEqual([sequence.take(), sequence.take(), sequence.low], [7, 8, false]);
    for (let taken = 2; taken < seqBlock; taken++) sequence.take();
    assert.equal(sequence.take(), undefined);
  });
});

describe('the outbox of a device', () => {
  it('a lost connection sends readings in flight again, first and in order', () => {
    const outbox = new Outbox(10, [0, 1, 2, 3].map(reading));
    assert.deepEqual([outbox.take(2)?.seq, outbox.take(2)?.seq, outbox.take(2)], [0, 1, undefined]);
    assert.ok(outbox.acked(1));
    outbox.lost();
    assert.deepEqual(seqs(outbox), [0, 2, 3]);
    assert.equal(outbox.inFlight, 0);
    assert.equal(outbox.acked(0), false, 'an acknowledgement of the lost connection');
  });

  it('a full outbox drops the oldest unsent reading, never one in flight', () => {
    const outbox = new Outbox(3, [0, 1, 2].map(reading));
    outbox.take(1);
    outbox.add(reading(3));
    assert.deepEqual([seqs(outbox), outbox.dropped], [[0, 2, 3], 1]);
  });
});

describe('the window', () => {
  const message = (number: number) => ({ number, payload: '', sentUs: 0, good: true });

  it('each acknowledgement finds its message, even after the ids wrap around', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(4), { maxLength: 200 }), fc.boolean(), (picks, wraps) => {
        const window = new InFlight();
        if (wraps)
          for (let number = 0; number < packetIdMax - 5; number++) window.ack(window.add(message(number)));
        const open = new Map<number, number>();
        let number = 0;
        for (const pick of picks) {
          if (pick > 1 || open.size === 0) {
            const packetId = window.add(message(number));
            assert.ok(packetId >= 1 && packetId <= packetIdMax && !open.has(packetId));
            open.set(packetId, number++);
          } else {
            const packetId = [...open.keys()][pick === 0 ? 0 : open.size - 1] ?? 0;
            assert.equal(window.ack(packetId)?.number, open.get(packetId));
            open.delete(packetId);
          }
          assert.equal(window.size, open.size);
          assert.deepEqual(
            window.pending().map((one) => one.number),
            [...open.values()],
          );
        }
      }),
    );
  });

  it('an id that is not in flight acknowledges nothing', () => {
    const window = new InFlight();
    const packetId = window.add(message(0));
    assert.equal(window.ack(packetId + 1), undefined);
    assert.equal(window.ack(packetId)?.number, 0);
    assert.equal(window.ack(packetId), undefined);
  });
});

describe('clock and reconnects', () => {
  it('a clock is off by its skew and its drift', () => {
    assert.equal(deviceTimeMs({ skewMs: -5000, driftPpm: 100 }, 1000, 1000), -4000);
    assert.equal(deviceTimeMs({ skewMs: 0, driftPpm: 100 }, 0, 10_000_000), 10_001_000);
  });

  it('pauses before reconnects stay in their limits and spread a fleet', () => {
    const random = createRandom(1);
    const waits = Array.from({ length: 1000 }, (_, index) => reconnectPauseMs(index % 30, random));
    assert.ok(waits.every((ms) => ms >= reconnectLimits.minMs && ms <= reconnectLimits.maxMs));
    assert.ok(new Set(waits).size > 500);
  });
});
