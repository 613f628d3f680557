import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parsePeerMessage } from './messages.ts';
import { defaultPeerLimits, peerLimitIssues, reconnectDelayMs } from './limits.ts';
import { createPeerLinks } from './peer-links.ts';

describe('limits', () => {
  it('the default limits fit together, and all issues are reported at once', () => {
    assert.deepEqual(peerLimitIssues(defaultPeerLimits), []);
    const issues = peerLimitIssues({
      ...defaultPeerLimits,
      pingIntervalMs: 600,
      reconnectMinMs: 2000,
      closeTimeoutMs: 0.5,
    });
    assert.equal(issues.length, 3);
  });

  it('pauses between dials grow from 50 ms to 1 s, with jitter', () => {
    const full = [0, 1, 2, 3, 4, 5, 1000].map((failures) => reconnectDelayMs(defaultPeerLimits, failures, 1));
    assert.deepEqual(full, [50, 100, 200, 400, 800, 1000, 1000]);
    assert.equal(reconnectDelayMs(defaultPeerLimits, 0, 0), 25);
  });

  it('options that do not fit together are refused', () => {
    const peers = [
      { nodeId: 1, url: 'http://127.0.0.1:1' },
      { nodeId: 2, url: 'nowhere' },
    ];
    const log = { info: () => undefined, warn: () => undefined };
    assert.throws(() => createPeerLinks({ nodeId: 1, peers, token: String, log }), /distinct.*no URL/);
  });
});

describe('messages', () => {
  it('only messages of the election are passed on', () => {
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
