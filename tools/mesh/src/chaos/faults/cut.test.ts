import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { passing } from '@thermomesh/links';
import {
  checkCut,
  conditionsOf,
  parsePartition,
  parseSelectors,
  someoneCanDrain,
  type CutFault,
  type LinkEnds,
} from './cut.ts';

const nodes: LinkEnds = { nodes: 5, zookeepers: 0, needsZooKeeper: false };
const elected: LinkEnds = { nodes: 3, zookeepers: 3, needsZooKeeper: true };
const nothing: CutFault = {
  kind: 'links',
  partition: [],
  cut: [],
  slow: [],
  silent: false,
  delayMs: 0,
  bytesPerSecond: null,
  pauseMs: 1,
};

describe('a cut', () => {
  it('a partition cuts exactly the links between its sides', () => {
    const partition = parsePartition('1,2/3,4,5');
    const conditions = conditionsOf({ ...nothing, partition }, nodes, 5);
    assert.deepEqual(Object.keys(conditions).toSorted(), [
      'node-1:node-3',
      'node-1:node-4',
      'node-1:node-5',
      'node-2:node-3',
      'node-2:node-4',
      'node-2:node-5',
    ]);
    assert.ok(Object.values(conditions).every(({ state }) => state === 'cut'));
  });

  it('a node on no side of a partition keeps all its links', () => {
    const conditions = conditionsOf({ ...nothing, partition: parsePartition('1/5') }, nodes, 5);
    assert.deepEqual(Object.keys(conditions), ['node-1:node-5']);
  });

  it('one-way drops what the first-named end sends, whichever end dials', () => {
    const cut = parseSelectors('coordinator:nodes');
    const out = conditionsOf({ ...nothing, cut, oneWay: 'out' }, nodes, 3);
    assert.deepEqual(
      Object.entries(out).map(([link, { state, direction }]) => [link, state, direction]),
      [
        ['node-1:node-3', 'stall', 'backward'],
        ['node-2:node-3', 'stall', 'backward'],
        ['node-3:node-4', 'stall', 'forward'],
        ['node-3:node-5', 'stall', 'forward'],
      ],
    );
    const back = conditionsOf({ ...nothing, cut, oneWay: 'in' }, nodes, 3);
    assert.equal(back['node-1:node-3']?.direction, 'forward');
  });

  it('a link that is both slow and cut is cut', () => {
    const cut = parseSelectors('node-2:gateway');
    const slow = parseSelectors('every:gateway');
    const conditions = conditionsOf({ ...nothing, cut, slow, delayMs: 50 }, nodes, 5);
    assert.equal(conditions['node-2:gateway']?.state, 'cut');
    assert.deepEqual(conditions['node-1:gateway'], { ...passing, delayMs: 50 });
  });

  it('draining is required only while some node reaches both ends', () => {
    const of = (links: string) => conditionsOf({ ...nothing, cut: parseSelectors(links) }, nodes, 5);
    assert.ok(someoneCanDrain(of('coordinator:postgres,node-4:gateway'), nodes));
    assert.ok(!someoneCanDrain(of('every:postgres'), nodes));
  });

  it('a node is cut from every server of ZooKeeper, or from one', () => {
    const of = (links: string, more: Partial<CutFault> = {}) =>
      conditionsOf({ ...nothing, cut: parseSelectors(links), ...more }, elected, 2);
    assert.deepEqual(
      Object.keys(of('coordinator:zookeeper')),
      [1, 2, 3].map((server) => `node-2:zookeeper-${server}`),
    );
    assert.deepEqual(Object.keys(of('every:zookeeper-3')).length, 3);
    assert.equal(of('node-1:zookeeper-2', { oneWay: 'out' })['node-1:zookeeper-2']?.direction, 'forward');
    // A node that still reaches one of them can be elected; nodes that elect without ZooKeeper do
    // not need it.
    const all = of('every:zookeeper');
    assert.ok(someoneCanDrain(of('coordinator:zookeeper'), elected));
    assert.ok(someoneCanDrain(of('every:zookeeper-1,every:zookeeper-2'), elected));
    assert.ok(!someoneCanDrain(all, elected));
    assert.ok(someoneCanDrain(all, { ...elected, needsZooKeeper: false }));
  });

  it('invalid links and partitions are refused with the expected form', () => {
    for (const text of ['', '1,2', '1,2/2,3', '1//2', '1,2/x', '0/1']) {
      assert.throws(() => parsePartition(text), /is not a partition.*such as 1,2\/3,4,5/, text);
    }
    for (const text of [
      '',
      'gateway',
      'node-2',
      'node-2:node-2',
      'node-2:zookeeper-0',
      'node-0:gateway',
      'coordinator:redis',
    ]) {
      assert.throws(() => parseSelectors(text), /is not a link.*such as node-2:gateway/, text);
    }
    const check = (fault: Partial<CutFault>) => () => {
      checkCut({ ...nothing, ...fault }, { ...nodes, nodes: 3 });
    };
    assert.throws(check({}), /names links/);
    assert.throws(check({ partition: parsePartition('1/4') }), /no node 4/);
    assert.throws(check({ cut: parseSelectors('node-1:zookeeper') }), /no ZooKeeper/);
    const beyond = { ...nothing, cut: parseSelectors('node-1:zookeeper-4') };
    assert.throws(() => checkCut(beyond, elected), /no server zookeeper-4/);
    assert.throws(check({ slow: parseSelectors('every:nodes') }), /how slow/);
    assert.throws(check({ cut: parseSelectors('every:nodes'), delayMs: 5 }), /which links/);
    assert.throws(check({ slow: parseSelectors('every:nodes'), delayMs: 5, oneWay: 'out' }), /--one-way/);
  });
});
