import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createDeviceNotices, noticedDevicesMax } from './device-notices.ts';

describe('notices about devices', () => {
  it('readings and refusals of a device are summed until the next report', () => {
    let nowMs = 10;
    const notices = createDeviceNotices(() => nowMs++);
    assert.equal(notices.take(5), undefined);
    notices.notStored('d1', 'relayed');
    notices.notStored('d1', 'dropped');
    notices.refused('d1', { kind: 'publish', reason: 'r', topic: 'a' });
    notices.refused('d1', { kind: 'publish', reason: 'r', topic: 'b\u0000' });
    assert.deepEqual(notices.take(5), {
      relayed: 1,
      dropped: 1,
      devices: [
        {
          deviceId: 'd1',
          notStored: 2,
          firstAtMs: 10,
          lastAtMs: 11,
          refusals: [{ kind: 'publish', reason: 'r', topic: 'b?', count: 2, firstAtMs: 12, lastAtMs: 13 }],
        },
      ],
    });
    assert.equal(notices.take(5), undefined);
  });

  it('a report is bounded, and the rest comes with the next one', () => {
    const notices = createDeviceNotices(() => 1);
    for (const id of ['a', 'b', 'c']) notices.notStored(id, 'relayed');
    const [first, second] = [notices.take(2), notices.take(2)];
    assert.deepEqual([first?.relayed, first?.devices.length], [3, 2]);
    assert.deepEqual([second?.relayed, second?.devices.length], [0, 1]);
  });

  it('endless devices and refusals cost no memory, and the totals stay true', () => {
    const notices = createDeviceNotices(() => 1);
    for (let n = 0; n < noticedDevicesMax + 50; n++) notices.notStored(`d${n}`, 'dropped');
    for (let n = 0; n < 100; n++) notices.refused('d0', { kind: 'protocol', reason: `r${n}`, topic: null });
    const report = notices.take(Infinity);
    assert.deepEqual(
      [report?.dropped, report?.devices.length, report?.devices[0]?.refusals.length],
      [noticedDevicesMax + 50, noticedDevicesMax, 20],
    );
  });
});
