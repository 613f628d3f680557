import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { withoutExifThumbnail, withoutPhotoshopThumbnail, withoutXmpThumbnail } from './thumbnails.ts';

interface Field {
  id: number;
  value: number;
}

/** An EXIF block: its directories one after the other, then the thumbnail, then other bytes. */
function exifOf(
  order: 'II' | 'MM',
  directories: Field[][],
  thumbnail: string,
  rest = '',
): { block: Buffer; thumbnailAt: number } {
  const thumbnailAt = 8 + directories.reduce((sum, fields) => sum + 6 + fields.length * 12, 0);
  const block = Buffer.alloc(thumbnailAt);
  const short = (value: number, at: number) =>
    order === 'II' ? block.writeUInt16LE(value, at) : block.writeUInt16BE(value, at);
  const long = (value: number, at: number) =>
    order === 'II' ? block.writeUInt32LE(value, at) : block.writeUInt32BE(value, at);
  block.write(order, 'latin1');
  short(42, 2);
  long(8, 4);
  let at = 8;
  directories.forEach((fields, index) => {
    short(fields.length, at);
    fields.forEach(({ id, value }, entry) => {
      short(id, at + 2 + entry * 12);
      short(4, at + 4 + entry * 12);
      long(1, at + 6 + entry * 12);
      long(value === -1 ? thumbnailAt : value, at + 10 + entry * 12);
    });
    const end = at + 2 + fields.length * 12;
    long(index + 1 < directories.length ? end + 4 : 0, end);
    at = end + 4;
  });
  return { block: Buffer.concat([block, Buffer.from(thumbnail + rest)]), thumbnailAt };
}

describe('thumbnails in metadata', () => {
  it('EXIF loses its thumbnail in either byte order, and nothing else moves', () => {
    const first = [{ id: 0x112, value: 6 }];
    for (const order of ['II', 'MM'] as const) {
      for (const [start, length] of [
        [0x201, 0x202],
        [0x111, 0x117],
      ] as const) {
        const second = [
          { id: start, value: -1 },
          { id: length, value: 9 },
        ];
        const { block, thumbnailAt } = exifOf(order, [first, second], 'THUMBNAIL', 'maker note');
        const found = withoutExifThumbnail(block);
        assert.equal(found.length, block.length);
        assert.ok(!found.includes('THUMB'));
        assert.equal(found.toString('latin1', thumbnailAt + 9), 'maker note');
        assert.ok(found.subarray(0, 22).equals(block.subarray(0, 22)), 'the first directory changed');
        assert.ok(found.subarray(22, thumbnailAt + 9).every((byte) => byte === 0));
        const atEnd = exifOf(order, [first, second], 'THUMBNAIL');
        // The emptied directory is the end of the block now, and is cut off as well.
        assert.equal(withoutExifThumbnail(atEnd.block).length, 26);
      }
    }
  });

  it('EXIF loses a thumbnail that its first directory names', () => {
    const own = [
      { id: 0x112, value: 6 },
      { id: 0x201, value: -1 },
      { id: 0x202, value: 9 },
    ];
    const named = exifOf('MM', [own], 'THUMBNAIL', 'maker note');
    const found = withoutExifThumbnail(named.block);
    assert.equal(found.length, named.block.length);
    assert.ok(!found.includes('THUMB'));
    assert.ok(found.subarray(0, 22).equals(named.block.subarray(0, 22)));
    assert.equal(found.toString('latin1', named.thumbnailAt + 9), 'maker note');
    const whole = exifOf('MM', [[{ id: 0x501b, value: -1 }]], 'THUMBNAIL', 'maker note');
    whole.block.writeUInt32BE(9, 8 + 2 + 4);
    assert.ok(!withoutExifThumbnail(whole.block).includes('THUMB'));
  });

  it('EXIF loses every strip of a thumbnail that has several', () => {
    const fields = [
      { id: 0x111, value: -1 },
      { id: 0x117, value: -1 },
    ];
    const { block, thumbnailAt } = exifOf('MM', [[{ id: 0x112, value: 6 }], fields], '');
    const lists = Buffer.alloc(16);
    [thumbnailAt + 16, thumbnailAt + 26, 5, 4].forEach((each, at) => lists.writeUInt32BE(each, at * 4));
    const second = 26;
    block.writeUInt32BE(2, second + 2 + 4);
    block.writeUInt32BE(2, second + 14 + 4);
    block.writeUInt32BE(thumbnailAt + 8, second + 14 + 8);
    const found = withoutExifThumbnail(Buffer.concat([block, lists, Buffer.from('THUMB-----NAIL, note')]));
    assert.equal(found.toString('latin1', thumbnailAt + 16), '\0\0\0\0\0-----\0\0\0\0, note');
  });

  it('EXIF without a thumbnail stays byte for byte', () => {
    const { block } = exifOf('II', [[{ id: 0x112, value: 6 }]], '', 'maker note');
    assert.equal(withoutExifThumbnail(block), block);
  });

  it('damaged EXIF never loses its first directory and never throws', () => {
    const fields = [{ id: 0x112, value: 6 }];
    const loop = exifOf('II', [fields, []], '').block;
    loop.writeUInt32LE(8, 22);
    const whole = exifOf(
      'II',
      [
        fields,
        [
          { id: 0x201, value: 0 },
          { id: 0x202, value: 2 ** 32 - 1 },
        ],
      ],
      'x',
    ).block;
    for (const block of [loop, whole]) {
      assert.ok(withoutExifThumbnail(block).subarray(0, 22).equals(block.subarray(0, 22)));
      for (let end = 0; end < block.length; end++) withoutExifThumbnail(block.subarray(0, end));
      for (let at = 0; at < block.length; at++) {
        const hurt = Buffer.from(block);
        hurt[at] = hurt[at]! ^ 0xff;
        withoutExifThumbnail(hurt);
      }
    }
  });

  it('Photoshop resources lose their thumbnails, with and without a prefix', () => {
    const resource = (id: number, data: string) => {
      const head = Buffer.from('8BIM\0\0\0\0\0\0\0\0', 'latin1');
      head.writeUInt16BE(id, 4);
      head.writeUInt32BE(data.length, 8);
      return Buffer.concat([head, Buffer.from(data), Buffer.alloc(data.length % 2)]);
    };
    const [iptc, thumbnail, last] = [
      resource(1028, 'caption'),
      resource(1036, 'JPEG!'),
      resource(1005, 'dpi'),
    ];
    for (const prefix of ['', 'Photoshop 3.0\0']) {
      const before = Buffer.concat([Buffer.from(prefix), iptc, thumbnail, last]);
      const after = Buffer.concat([Buffer.from(prefix), iptc, last]);
      assert.ok(withoutPhotoshopThumbnail(before).equals(after));
      assert.ok(withoutPhotoshopThumbnail(after).equals(after));
    }
    const other = Buffer.from([0x1c, 2, 120, 0, 3, 97, 98, 99]);
    assert.ok(withoutPhotoshopThumbnail(other).equals(other));
  });

  it('XMP loses its thumbnails', () => {
    const xmp = '<a>é<xmp:Thumbnails><rdf:Alt>/9j/4AAQ</rdf:Alt></xmp:Thumbnails><b/></a>';
    assert.equal(withoutXmpThumbnail(Buffer.from(xmp)).toString(), '<a>é<b/></a>');
  });
});
