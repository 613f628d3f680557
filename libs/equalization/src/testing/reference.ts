/**
 * The single-process reference: each pixel on its own, each definition written down as its source
 * reads, fractions as BigInt. Slow on purpose, and shares no code with the library.
 */
import type { Definition, Depth, Mode } from '../plan.ts';

/** Pixels row by row; each is its list of samples. */
export interface NaiveImage {
  width: number;
  height: number;
  depth: Depth;
  channels: 1 | 2 | 3 | 4;
  pixels: number[][];
}

/** @returns the equalized pixels */
export function equalizeNaively(image: NaiveImage, mode: Mode, definition: Definition): number[][] {
  const max = 2 ** image.depth - 1;
  const colours = image.channels >= 3 ? 3 : 1;
  if (colours === 1 || mode === 'per-channel') {
    const planes = Array.from({ length: colours }, (_, plane) => image.pixels.map((pixel) => pixel[plane]!));
    const highest = Math.max(...planes.flat());
    const maps = planes.map((values) => memo(formulas[definition](values, { max, highest })));
    return image.pixels.map((pixel) => pixel.map((sample, at) => maps[at]?.(sample) ?? sample));
  }
  const lumas = image.pixels.map(naiveLuma);
  const map = memo(formulas[definition](lumas, { max, highest: Math.max(...lumas) }));
  return image.pixels.map((pixel, at) => {
    const moved = map(lumas[at]!);
    const rest = pixel.slice(3);
    if (mode === 'grey') return [moved, ...rest];
    return [...moveNaively(pixel.slice(0, 3), lumas[at]!, moved, max), ...rest];
  });
}

function naiveLuma(pixel: number[]): number {
  return Math.floor((9798 * pixel[0]! + 19235 * pixel[1]! + 3735 * pixel[2]!) / 32768 + 0.5);
}

/**
 * Each channel says how much of its distance from the luma it can keep; the smallest share, at most
 * all, holds for the three.
 */
function moveNaively(colours: number[], luma: number, moved: number, max: number): number[] {
  let share: readonly [bigint, bigint] = [1n, 1n];
  for (const colour of colours) {
    const distance = Math.abs(colour - luma);
    if (distance === 0) continue;
    const mine = [BigInt(colour > luma ? max - moved : moved), BigInt(distance)] as const;
    if (mine[0] * share[1] < share[0] * mine[1]) share = mine;
  }
  return colours.map((colour) => {
    const doubled = 2n * BigInt(colour - luma) * share[0] + share[1];
    return moved + Number(floorDivision(doubled, 2n * share[1]));
  });
}

function floorDivision(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  return numerator % denominator < 0n ? quotient - 1n : quotient;
}

interface Frame {
  max: number;
  highest: number;
}
type Formula = (values: number[], frame: Frame) => (value: number) => number;

const atMost = (values: number[], value: number) => values.filter((each) => each <= value).length;

function memo(map: (value: number) => number): (value: number) => number {
  const known = new Map<number, number>();
  return (value) => {
    const result = known.get(value) ?? map(value);
    known.set(value, result);
    return result;
  };
}

const float = (value: number) => new Float32Array([value])[0]!;

const formulas: Record<Definition, Formula> = {
  opencv: (values, { max }) => {
    const lowest = Math.min(...values);
    const count = values.filter((value) => value === lowest).length;
    if (count === values.length) return (value) => value;
    const scale = float(max / float(values.length - count));
    // Adding 1.5 × 2²³ leaves a float32 no room for a fraction: it rounds, halves to even, as the
    // conversion instruction does.
    const round = (value: number) => float(float(value + 12_582_912) - 12_582_912);
    return (value) => round(float(float(atMost(values, value) - count) * scale));
  },
  pillow: (values, { max }) => {
    const histogram = Array.from(
      { length: max + 1 },
      (_, bin) => values.filter((value) => value === bin).length,
    );
    const present = histogram.filter((count) => count > 0);
    const step = Math.floor((values.length - present.at(-1)!) / max);
    if (present.length <= 1 || step === 0) return (value) => value;
    const table: number[] = [];
    let sum = Math.floor(step / 2);
    for (const count of histogram) {
      table.push(Math.floor(sum / step));
      sum += count;
    }
    return (value) => Math.min(255, table[value]!);
  },
  vips: (values, { max, highest }) => {
    const top = max === 255 ? 255 : highest;
    const factor = float(top / values.length);
    return (value) => {
      const cumulative = float(atMost(values, value));
      return Math.trunc(float(factor * cumulative));
    };
  },
  textbook: (values, { max }) => {
    const all = BigInt(values.length);
    if (new Set(values).size === 1) return (value) => value;
    return (value) => Number((2n * BigInt(max) * BigInt(atMost(values, value)) + all) / (2n * all));
  },
};
