/**
 * The plan of an equalization: mode, formula and kind of pixels. It is fixed once per image, before
 * anything is counted.
 */
import { EqualizationError } from './errors.ts';

/**
 * `luminance` changes brightness and keeps colour; `grey` gives a grey image; `per-channel` treats
 * R, G and B apart.
 */
export const modes = ['luminance', 'grey', 'per-channel'] as const;
export type Mode = (typeof modes)[number];

/** The library or book whose formula makes the lookup table. */
export const definitions = ['opencv', 'pillow', 'vips', 'textbook'] as const;
export type Definition = (typeof definitions)[number];

/** Bits of one sample. */
export type Depth = 8 | 16;

/** 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; interleaved. */
export type Channels = 1 | 2 | 3 | 4;

/** The depths of each definition: the functions of OpenCV and Pillow take only 8 bit. */
export const depthsOf: Readonly<Record<Definition, readonly Depth[]>> = {
  opencv: [8],
  pillow: [8],
  vips: [8, 16],
  textbook: [8, 16],
};

/** Largest number of pixels: what the counters of the libraries (C `int`) can hold. */
export const pixelsMax = 2 ** 31 - 1;

/** A checked plan. Plain data: it can be sent in messages. */
export interface EqualizationPlan {
  readonly mode: Mode;
  readonly definition: Definition;
  readonly depth: Depth;
  /** Channels of the input. */
  readonly channels: Channels;
  /** Channels of the output: fewer than the input's if a colour image becomes grey. */
  readonly outputChannels: Channels;
  /** What is counted: the colour channels, or the luma computed from them. */
  readonly source: 'channels' | 'luma';
  /** Number of histograms and lookup tables: one, or one for each colour channel. */
  readonly planes: 1 | 3;
  /** Entries of one histogram: 256 or 65,536. */
  readonly bins: number;
}

/** What to plan for. */
export interface PlanOptions {
  depth: Depth;
  channels: Channels;
  /** Default: `luminance` for colour, `grey` for grey images. */
  mode?: Mode;
  /** Default: `opencv` for 8 bit, `textbook` for 16 bit. */
  definition?: Definition;
}

/**
 * Fixes mode and definition for one kind of pixels.
 * @throws EqualizationError `equalization.unsupported`: unknown mode or definition, or a definition
 *   that does not exist at this depth
 */
export function planEqualization(options: PlanOptions): EqualizationPlan {
  const { depth, channels } = options;
  if (depth !== 8 && depth !== 16)
    throw unsupported(`${String(depth)} bits a sample: only 8 and 16 are known`);
  if (![1, 2, 3, 4].includes(channels))
    throw unsupported(`${String(channels)} channels: only 1 to 4 are known`);
  const colour = channels >= 3;
  const mode = options.mode ?? (colour ? 'luminance' : 'grey');
  const definition = options.definition ?? (depth === 8 ? 'opencv' : 'textbook');
  if (!modes.includes(mode)) throw unsupported(`mode ${mode}: only ${modes.join(', ')} are known`);
  if (!definitions.includes(definition)) {
    throw unsupported(`definition ${definition}: only ${definitions.join(', ')} are known`);
  }
  if (!depthsOf[definition].includes(depth)) {
    const able = definitions.filter((name) => depthsOf[name].includes(depth));
    throw unsupported(`${definition} has no ${depth}-bit equalization: take ${able.join(' or ')}`);
  }
  const luma = colour && mode !== 'per-channel';
  return {
    mode,
    definition,
    depth,
    channels,
    outputChannels: luma && mode === 'grey' ? (channels === 4 ? 2 : 1) : channels,
    source: luma ? 'luma' : 'channels',
    planes: colour && mode === 'per-channel' ? 3 : 1,
    bins: 2 ** depth,
  };
}

function unsupported(message: string): EqualizationError {
  return new EqualizationError('equalization.unsupported', message);
}
