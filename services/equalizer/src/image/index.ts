export { clahe, claheMaxSlopeDefault, claheSideDefault, type ClaheOptions } from './clahe.ts';
export { decode, type Decoded } from './decode.ts';
export { checkEncodable, encode, jpegQualityDefault, outputLike, type OutputOptions } from './encode.ts';
export type { ImageFault } from './faults.ts';
export {
  identify,
  imageFormats,
  type Access,
  type IdentifyOptions,
  type ImageFacts,
  type ImageFormat,
  type TiffFacts,
} from './identify.ts';
export { imageLimitsDefault, type ImageLimits } from './limits.ts';
export { dataBytes, type Rectangle, type SpoolShape } from './layout.ts';
export { countRectangle, mapRectangle } from './pixels.ts';
export { createResult } from './result.ts';
export { createSpool, readSpool } from './spool.ts';
export type { SpoolMetadata } from './spool-file.ts';
