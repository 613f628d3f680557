/** How much the equalizer bench measures. */

/** One image that every suitable arm equalizes. */
export interface Subject {
  name: string;
  /** Pixels of a side; the image is square and grey, 8 bit. */
  side: number;
  /** How libvips writes it: the file ending, and options in brackets. */
  suffix: string;
  rounds: number;
  /**
   * True for the image that the targets are for. It is also equalized by Pillow.
   */
  main: boolean;
}

export interface EqualizerPlan {
  quick: boolean;
  subjects: readonly Subject[];
  /** Pixels of one chunk. */
  chunkPixels: number;
}

const rawTiled = '.tif[tile,bigtiff]';

export const quickPlan: EqualizerPlan = {
  quick: true,
  chunkPixels: 4_000_000,
  subjects: [
    { name: 'raw tiled TIFF', side: 20_000, suffix: rawTiled, rounds: 3, main: true },
    { name: 'PNG', side: 6_000, suffix: '.png[compression=1]', rounds: 1, main: false },
    { name: 'JPEG', side: 6_000, suffix: '.jpg[Q=90]', rounds: 1, main: false },
  ],
};

export const fullPlan: EqualizerPlan = {
  ...quickPlan,
  quick: false,
  subjects: [
    { name: 'raw tiled TIFF', side: 20_000, suffix: rawTiled, rounds: 9, main: true },
    { name: 'PNG', side: 20_000, suffix: '.png[compression=1]', rounds: 3, main: false },
    { name: 'JPEG', side: 20_000, suffix: '.jpg[Q=90]', rounds: 3, main: false },
  ],
};

/** For the integration test: every arm runs, but too briefly for a meaningful figure. */
export const smallestPlan: EqualizerPlan = {
  quick: true,
  chunkPixels: 16_384,
  subjects: [
    { name: 'raw tiled TIFF', side: 300, suffix: rawTiled, rounds: 1, main: true },
    { name: 'PNG', side: 200, suffix: '.png', rounds: 1, main: false },
  ],
};
