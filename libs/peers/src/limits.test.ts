import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parsePeerMessage } from './messages.ts';
import { defaultPeerLimits, peerLimitFaults, reconnectDelayMs } from './limits.ts';
import { createPeerLinks } from './peer-links.ts';

describe('limits', () => {
  it('the defaults fit together, and all faults are told at once', () => {
    assert.deepEqual(peerLimitFaults(defaultPeerLimits), []);
    const faults = peerLimitFaults({
      ...defaultPeerLimits,
      pingIntervalMs: 600,
      reconnectMinMs: 2000,
      closeTimeoutMs: 0.5,
    });
    assert.equal(faults.length, 3);
  });

  it('backs off from 50 ms to 1 s, and never in step with others', () => {
    const full = [0, 1, 2, 3, 4, 5, 1000].map((failures) => reconnectDelayMs(defaultPeerLimits, failures, 1));
    assert.deepEqual(full, [50, 100, 200, 400, 800, 1000, 1000]);
    assert.equal(reconnectDelayMs(defaultPeerLimits, 0, 0), 25);
  });

  it('refuses options that cannot work', () => {
    const peers = [
      { nodeId: 1, url: 'http://127.0.0.1:1' },
      { nodeId: 2, url: 'nowhere' },
    ];
    const log = { info: () => undefined, warn: () => undefined };
    assert.throws(() => createPeerLinks({ nodeId: 1, peers, token: String, log }), /distinct.*no URL/);
  });
});

describe('messages', () => {
  it('that are none of the election’s are not passed on', () => {
    const bad = [
      '',
      'x',
      '1',
      'null',
      '[]',
      '{"type":"ELECTION","round":1}',
      '{"type":"election"}',
      '{"type":"coordinator","epoch":-1}',
    ];
    for (const text of [
      ...bad,
      '{"type":"coordinator","epoch":1.5}',
      '{"type":"status","fit":1,"coordinator":1,"epoch":1}',
    ]) {
      assert.equal(parsePeerMessage(text), undefined, text);
    }
    assert.deepEqual(parsePeerMessage('{"type":"coordinator","epoch":1}'), { type: 'coordinator', epoch: 1 });
  });
});
