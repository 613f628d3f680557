import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ZooKeeperError, type ZooKeeperCode } from '@thermomesh/zookeeper';
import { parseData, showData } from './data.ts';
import { worded, wrongVersion } from './error-messages.ts';

describe('data of nodes', () => {
  it('data are shown as text where that is safe, else as hexadecimal digits', () => {
    const shown = (bytes: Buffer) => showData(bytes, '/x');
    assert.deepEqual(shown(Buffer.from('grüße\n')), { format: 'text', data: 'grüße\n' });
    assert.deepEqual(shown(Buffer.alloc(0)), { format: 'text', data: '' });
    assert.deepEqual(shown(Buffer.from([0xff, 0x00])), { format: 'hex', data: 'ff00' });
    // An escape sequence in a node must not reach the terminal.
    assert.equal(shown(Buffer.from('\u001b[2J')).format, 'hex');
    assert.deepEqual(showData(Buffer.from('{"a":[1]}'), '/x', 'json'), { format: 'json', data: { a: [1] } });
    assert.throws(() => showData(Buffer.from('a'), '/x', 'json'), { code: 'zk.not_json' });
    assert.throws(() => showData(Buffer.from([0xff]), '/x', 'text'), { code: 'zk.not_text' });
  });

  it('data that do not fit the format are refused', () => {
    assert.equal(parseData(Buffer.from(' x ')).toString(), ' x ');
    assert.equal(parseData(Buffer.from(' { "a" : 1 } '), 'json').toString(), '{"a":1}');
    assert.deepEqual(parseData(Buffer.from('FF 0a\n'), 'hex'), Buffer.from([0xff, 0x0a]));
    assert.throws(() => parseData(Buffer.from('{'), 'json'), { code: 'usage' });
    for (const digits of ['f', 'xx'])
      assert.throws(() => parseData(Buffer.from(digits), 'hex'), { code: 'usage' });
  });
});

describe('refusals', () => {
  const words = (code: ZooKeeperCode, applied: 'no' | 'unknown' = 'no') =>
    worded(new ZooKeeperError(code, `raw ${code}`, { applied }), '/x');

  it('an error of ZooKeeper is one line with the node and what to do', () => {
    for (const code of ['zookeeper.no_node', 'zookeeper.no_auth', 'zookeeper.not_empty'] as const) {
      assert.match(words(code).message, /^[^\n]*\/x[^\n]*$/);
      assert.equal((words(code) as ZooKeeperError).code, code);
    }
    assert.equal((words('zookeeper.bad_path') as ZooKeeperError).code, 'usage');
    assert.match(wrongVersion('/x', 3, 5, 'set').message, /version 5 now, not 3.*--version 5$/);
  });

  it('a write whose answer was lost is not reported as failed', () => {
    assert.match(words('zookeeper.connection_loss', 'unknown').message, /is not known/);
    assert.doesNotMatch(words('zookeeper.connection_loss').message, /is not known/);
  });
});
