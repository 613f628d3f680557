import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { createTopicTree, isTopicFilter, matches } from './topic-tree.ts';

it('filters match topics as MQTT 3.1.1, section 4.7, requires', () => {
  const cases: [filter: string, topic: string, matched: boolean][] = [
    ['a/b', 'a/b', true],
    ['a/b', 'a/b/c', false],
    ['a/#', 'a', true],
    ['a/#', 'a/b/c', true],
    ['#', 'a', true],
    ['#', '$SYS/x', false],
    ['+/x', '$SYS/x', false],
    ['$SYS/#', '$SYS/x', true],
    ['a/+', 'a', false],
    ['a/+', 'a/', true],
    ['+/+', '/a', true],
    ['/+', '/a', true],
    ['+', '/a', false],
    ['a/+/c', 'a/b/c', true],
    ['a/+/#', 'a/b', true],
  ];
  for (const [filter, topic, matched] of cases) {
    const tree = createTopicTree<string>();
    tree.set(filter, 'x', 'x');
    assert.equal(matches(filter, topic), matched, `${filter} ${topic}`);
    assert.deepEqual(tree.match(topic), matched ? ['x'] : [], `tree: ${filter} ${topic}`);
  }
});

it('malformed filters are recognised', () => {
  assert.deepEqual(['', 'a/#/b', 'a#', 'a+/b', '+a'].map(isTopicFilter), [false, false, false, false, false]);
  assert.deepEqual(['#', '+', 'a/+/b/#', '/', '//'].map(isTopicFilter), [true, true, true, true, true]);
});

it('the tree finds the same filters as a linear search, also after removals', () => {
  const level = fc.constantFrom('a', 'b', '', '$x');
  const topic = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'));
  const filter = fc
    .tuple(fc.array(fc.oneof(level, fc.constant('+')), { minLength: 1, maxLength: 4 }), fc.boolean())
    .map(([levels, rest]) => [...levels, ...(rest ? ['#'] : [])].join('/'));
  fc.assert(
    fc.property(fc.array(fc.tuple(filter, fc.boolean()), { maxLength: 20 }), topic, (changes, wanted) => {
      const tree = createTopicTree<string>();
      const filters = new Set<string>();
      for (const [name, add] of changes) {
        if (add) tree.set(name, 'owner', name);
        else tree.delete(name, 'owner');
        if (add) filters.add(name);
        else filters.delete(name);
      }
      assert.deepEqual(
        tree.match(wanted).sort(),
        [...filters].filter((name) => matches(name, wanted)).sort(),
      );
      assert.equal(tree.size, filters.size);
    }),
  );
});
