import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { drainClientId, mayNameDevice, operatorUsername } from '@thermomesh/contracts';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { identify, identifyDrain, mayPublish, maySubscribe, storedTopic, type Identity } from './access.ts';

const secret = 'a secret of the tests, long enough to pass';
const options = { secret, allowAnonymous: false };
const device: Identity = { kind: 'device', deviceId: 'd1' };
const node: Identity = { kind: 'node', nodeId: 1 };
const operator: Identity = { kind: 'operator' };

describe('identify', () => {
  const login = (username: string, subject: string, clientId: string) =>
    identify({ clientId, username, password: deriveToken(secret, subject) }, options);

  it('devices, nodes and the operator are identified by their tokens', () => {
    assert.deepEqual(login('d1', subjects.device('d1'), 'd1'), device);
    assert.deepEqual(login('d1', subjects.device('d1'), 'd1/second'), device);
    assert.deepEqual(login('node/1', subjects.node(1), 'node-1-announcer'), node);
    assert.deepEqual(login('operator', subjects.operator, 'anything'), operator);
  });

  it('no client can use the token, name or client id of another', () => {
    assert.equal(login('d2', subjects.device('d1'), 'd2'), undefined);
    assert.equal(login('d1', subjects.device('d1'), 'd1-b'), undefined);
    assert.equal(login('d1', subjects.device('d1'), 'd2'), undefined);
    assert.equal(login('d1', subjects.device('d1'), ''), undefined);
    assert.equal(login('node-1', subjects.device('node-1'), 'node-1'), undefined);
    assert.equal(login('node/1', subjects.node(1), 'node-12'), undefined);
    assert.equal(login('operator', subjects.operator, drainClientId), undefined);
    assert.equal(login('operator', subjects.operator, 'x'.repeat(300)), undefined);
    assert.equal(login('bad id', subjects.device('bad id'), 'bad id'), undefined);
    assert.equal(identify({ clientId: 'd1', username: 'd1', password: undefined }, options), undefined);
  });

  it('a name that may not be a device is refused, though its token is right', () => {
    for (const id of ['d1', 'room-1', 'load-k3f9x2-17', 'nodes', 'a.b_c-1']) {
      assert.deepEqual([id, mayNameDevice(id)], [id, true]);
      assert.deepEqual(login(id, subjects.device(id), id), { kind: 'device', deviceId: id });
    }
    for (const id of [
      'operator',
      'operator-1',
      'node-7',
      'thermomesh-drain',
      'anonymous-1',
      '',
      '-a',
      'a/b',
      'x'.repeat(65),
    ]) {
      assert.deepEqual([id, mayNameDevice(id)], [id, false]);
      assert.equal(login(id, subjects.device(id), id), undefined, id);
    }
    assert.equal(subjects.operator, operatorUsername);
  });

  it('anonymous clients are refused by default, and never are devices with a token', () => {
    const stranger = (clientId: string) => ({ clientId, username: undefined, password: undefined });
    const open = { secret, allowAnonymous: true };
    assert.equal(identify(stranger('anonymous-1'), options), undefined);
    assert.deepEqual(identify(stranger('anonymous-1'), open), { kind: 'device', deviceId: 'anonymous-1' });
    assert.equal(identify(stranger('d1'), open), undefined);
  });

  it('only a node is identified for the drain session', () => {
    const credentials = (username: string, subject: string) => ({
      clientId: drainClientId,
      username,
      password: deriveToken(secret, subject),
    });
    assert.deepEqual(identifyDrain(credentials('node/3/17', subjects.node(3)), secret), {
      nodeId: 3,
      epoch: 17,
    });
    assert.deepEqual(identifyDrain(credentials('node/3', subjects.node(3)), secret), { nodeId: 3 });
    assert.equal(identifyDrain(credentials('node/3/17', subjects.node(4)), secret), undefined);
    assert.equal(identifyDrain(credentials('operator', subjects.operator), secret), undefined);
  });
});

it('each kind of client may publish only on its own topics', () => {
  const topics = [
    'thermostat/data',
    'thermostat/data/d1',
    'thermostat/status/d1',
    'thermostat/data/d2',
    'thermostat/command/d1',
    'mesh/x',
    '$SYS/x',
    'mesh',
  ];
  const allowed = (identity: Identity) => topics.filter((topic) => mayPublish(identity, topic));
  assert.deepEqual(allowed(device), topics.slice(0, 3));
  assert.deepEqual(allowed(node), ['mesh/x']);
  assert.deepEqual(allowed(operator), ['thermostat/command/d1', 'mesh/x']);
  assert.equal(mayPublish(operator, `mesh/${'x'.repeat(1020)}`), false);
});

it('each kind of client may subscribe only to its own filters', () => {
  const filters = [
    'thermostat/command/d1',
    'thermostat/command/+',
    'thermostat/#',
    'mesh/#',
    '#',
    '+/data',
    '$SYS/#',
    '$share/group/thermostat/#',
    '$share',
    'a#',
  ];
  const allowed = (identity: Identity) => filters.filter((filter) => maySubscribe(identity, filter));
  assert.deepEqual(allowed(device), ['thermostat/command/d1']);
  assert.deepEqual(allowed(node), filters.slice(0, 4));
  assert.deepEqual(allowed(operator), filters.slice(0, 7));
});

it('a reading on the bare data topic is stored under the device’s own topic', () => {
  assert.equal(storedTopic(device, 'thermostat/data'), 'thermostat/data/d1');
  assert.equal(storedTopic(device, 'thermostat/status/d1'), 'thermostat/status/d1');
});
