import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { allPermissions, digestOf, permissionBits, permissionsOf } from './acl.ts';
import { FrameSplitter } from './frames.ts';
import { ancestorsOf, checkPath, compareSequence, join, nameOf, parentOf, sequenceOf } from './paths.ts';

describe('frames', () => {
  it('frames come out whole and in sequence, however the stream is cut', () => {
    const frame = fc.uint8Array({ maxLength: 40 }).map((body) => {
      const head = Buffer.alloc(4);
      head.writeInt32BE(body.length);
      return Buffer.concat([head, body]);
    });
    fc.assert(
      fc.property(
        fc.array(frame),
        fc.array(fc.integer({ min: 1, max: 25 }), { minLength: 1 }),
        (frames, sizes) => {
          const splitter = new FrameSplitter(1024);
          const stream = Buffer.concat(frames);
          const out: Buffer[] = [];
          for (let at = 0, turn = 0; at < stream.length; turn += 1) {
            const size = sizes[turn % sizes.length] ?? 1;
            out.push(...splitter.push(stream.subarray(at, at + size)));
            at += size;
          }
          assert.deepEqual(out, frames);
        },
      ),
    );
  });

  it('a frame with an invalid length is refused', () => {
    for (const length of [-1, 1025]) {
      const head = Buffer.alloc(4);
      head.writeInt32BE(length);
      assert.throws(() => new FrameSplitter(1024).push(head), { code: 'zookeeper.unexpected' });
    }
  });
});

describe('paths', () => {
  it('paths are accepted and refused as the server does', () => {
    for (const path of ['/', '/a', '/a/b-c', '/a/..b', '/ä']) assert.equal(checkPath(path), path);
    for (const path of ['', 'a', '/a/', '//a', '/a//b', '/a/../b', '/.', '/a\u0000', '/\ufff0']) {
      assert.throws(() => checkPath(path), { code: 'zookeeper.bad_path' });
    }
  });

  it('paths are joined and split', () => {
    assert.deepEqual([join('/', 'a'), join('/a', 'b')], ['/a', '/a/b']);
    assert.deepEqual([parentOf('/a'), parentOf('/a/b'), nameOf('/a/b')], ['/', '/a', 'b']);
    assert.deepEqual(ancestorsOf('/a/b/c'), ['/a', '/a/b']);
    assert.deepEqual(ancestorsOf('/a'), []);
  });

  it("the number of a sequential node is parsed up to the counter's end and past it", () => {
    assert.equal(sequenceOf('lock-0000000007'), 7);
    assert.equal(sequenceOf('x-2147483647'), 2_147_483_647);
    assert.equal(sequenceOf('x--2147483648'), -2_147_483_648);
    assert.equal(sequenceOf('x--000000001'), -1);
    assert.equal(sequenceOf('x-9d1c2b52-0e5e-4c6e-8a70-123456789012-0000000042'), 42);
    assert.equal(sequenceOf('node'), undefined);
    assert.ok(compareSequence(2_147_483_647, -2_147_483_648) < 0);
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 2 ** 30 }), (first, distance) => {
        const later = (first + distance) | 0;
        assert.ok(compareSequence(first, later) < 0 && compareSequence(later, first) > 0);
      }),
    );
  });
});

describe('access', () => {
  it("a digest equals the server's, and permissions survive the round trip", () => {
    // Source: the ZooKeeper administrator's guide, DigestAuthenticationProvider super:superpw.
    assert.equal(digestOf('super:superpw'), 'super:g9oN2HttPfn8MMWJZ2r45Np/LIA=');
    assert.equal(permissionBits(allPermissions), 31);
    fc.assert(
      fc.property(fc.subarray([...allPermissions]), (some) => {
        assert.deepEqual(permissionsOf(permissionBits(some)), some);
      }),
    );
  });
});
