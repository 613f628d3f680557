import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  pixelBytes,
  placeOf,
  segmentPixels,
  segmentsOf,
  spanPixels,
  spansOf,
  type Layout,
  type Rectangle,
  type SpoolShape,
} from './layout.ts';

interface Case {
  shape: SpoolShape;
  files: [Layout, ...Layout[]];
  rectangle: Rectangle;
  pixelsMax: number;
}

/** Segments in any order, with or without gaps between them. */
function layoutOf(shape: SpoolShape, cut: Omit<Layout, 'offsets' | 'pixelBytes'>, seeds: number[]): Layout {
  const { across, down } = segmentsOf(shape, cut);
  const count = across * down;
  const order = Array.from({ length: count }, (_, at) => at);
  const [shuffled = 0, gap = 0] = seeds;
  if (shuffled % 3 === 1) order.reverse();
  if (shuffled % 3 === 2) order.sort((one, other) => ((one * 7919) % 31) - ((other * 7919) % 31));
  const offsets = new Float64Array(count);
  let at = 64;
  for (const segment of order) {
    offsets[segment] = at;
    at += segmentPixels(shape, cut, segment) * pixelBytes(shape) + (gap % 2);
  }
  return { ...cut, pixelBytes: pixelBytes(shape), offsets };
}

const cases: fc.Arbitrary<Case> = fc
  .record({
    width: fc.integer({ min: 1, max: 23 }),
    height: fc.integer({ min: 1, max: 23 }),
    channels: fc.constantFrom(1, 2, 3, 4),
    depth: fc.constantFrom(8, 16),
    tiled: fc.boolean(),
    sides: fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })),
    seeds: fc.array(fc.nat(11), { minLength: 4, maxLength: 4 }),
    part: fc.tuple(fc.nat(99), fc.nat(99), fc.nat(99), fc.nat(99)),
    pixelsMax: fc.integer({ min: 1, max: 60 }),
  })
  .map(({ tiled, sides, seeds, part, pixelsMax, ...rest }) => {
    const shape = rest;
    const cut = { tiled, width: tiled ? sides[0] : shape.width, height: sides[1] };
    const left = part[0] % shape.width;
    const top = part[1] % shape.height;
    const rectangle = {
      left,
      top,
      width: 1 + (part[2] % (shape.width - left)),
      height: 1 + (part[3] % (shape.height - top)),
    };
    const grey = { ...shape, channels: 1 as const };
    return {
      shape,
      files: [layoutOf(shape, cut, seeds), layoutOf(grey, cut, seeds.slice(2))],
      rectangle,
      pixelsMax,
    };
  });

/** Which pixel of the image stands at each byte of a file; undefined for padding and gaps. */
function map(shape: SpoolShape, layout: Layout): Map<number, string | undefined> {
  const { across, down } = segmentsOf(shape, layout);
  const found = new Map<number, string | undefined>();
  for (let segment = 0; segment < across * down; segment++) {
    const [left, top] = [(segment % across) * layout.width, Math.floor(segment / across) * layout.height];
    for (let pixel = 0; pixel < segmentPixels(shape, layout, segment); pixel++) {
      const x = left + (pixel % layout.width);
      const y = top + Math.floor(pixel / layout.width);
      const inside = x < shape.width && y < shape.height;
      found.set(layout.offsets[segment]! + pixel * layout.pixelBytes, inside ? `${x},${y}` : undefined);
    }
  }
  return found;
}

describe('spans of a rectangle', () => {
  it('spans cover each pixel of a rectangle once, and no other pixel', () => {
    fc.assert(
      fc.property(cases, ({ shape, files, rectangle, pixelsMax }) => {
        const maps = files.map((file) => map(shape, file));
        const seen: string[] = [];
        for (const span of spansOf(shape, files, rectangle, pixelsMax)) {
          assert.ok(spanPixels(span) <= pixelsMax && span.rows > 0 && span.width > 0);
          for (let at = 0; at < spanPixels(span); at++) {
            const [first, ...others] = files.map((file, index) =>
              maps[index]!.get(placeOf(file, span) + at * file.pixelBytes),
            );
            assert.ok(
              others.every((other) => other === first),
              'the files differ in what a span is',
            );
            if (at % span.stride < span.width || span.rows === 1) seen.push(String(first));
            else assert.equal(first, undefined, 'a pixel between the rows belongs to another rectangle');
          }
        }
        const wanted: string[] = [];
        for (let y = rectangle.top; y < rectangle.top + rectangle.height; y++)
          for (let x = rectangle.left; x < rectangle.left + rectangle.width; x++) wanted.push(`${x},${y}`);
        assert.deepEqual(seen.sort(), wanted.sort());
      }),
      { numRuns: 1_000 },
    );
  });

  it('spans merge where segments are adjacent', () => {
    const shape = { width: 64, height: 32, channels: 1, depth: 8 } as const;
    const layout = layoutOf(shape, { tiled: true, width: 16, height: 16 }, [0, 0]);
    const whole = { left: 0, top: 0, width: 64, height: 32 };
    assert.equal([...spansOf(shape, [layout], whole, 10_000)].length, 1);
    const apart = layoutOf(shape, layout, [0, 1]);
    assert.equal([...spansOf(shape, [layout, apart], whole, 10_000)].length, 8);
  });
});
