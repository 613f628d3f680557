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
export { countRectangle, mapRectangle, placeRectangle, type ResultPlace } from './pixels.ts';
export { createResultSpool, createSpool, readSpool, type Rectangle } from './spool.ts';
export { dataBytes, type SpoolMetadata, type SpoolShape } from './spool-file.ts';
