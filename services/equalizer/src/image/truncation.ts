/**
 * Detects truncated files: at the upload, as far as that is possible without decoding, and behind
 * errors, because libpng and libwebp do not always report a truncation as such.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { codeOf, type MeshError } from '@thermomesh/runtime';
import { imageError } from './errors.ts';
import { imageErrorOf } from './library.ts';
import { exactly } from './bytes.ts';
import { formatOf, type ImageFormat } from './formats/formats.ts';
import { checkJpegFrame, hasEndOfImage } from './formats/jpeg.ts';

/** Like `imageErrorOf`, but a damaged file whose end is missing becomes `image.truncated`. */
export async function imageFileErrorOf(error: unknown, file: string): Promise<MeshError> {
  const found = imageErrorOf(error);
  if (found.code !== 'image.damaged' || !(await endsEarly(file))) return found;
  return imageError('image.truncated', 'the file ends too early', { cause: found });
}

async function endsEarly(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const format = size < 16 ? undefined : formatOf(await exactly(file, 0, 16));
    if (format === undefined) return size < 16;
    return !(await endsFully(file, size, format));
  } catch (error) {
    if (codeOf(error) === 'image.truncated') return true;
    return false;
  } finally {
    await file.close();
  }
}

/**
 * Checks what can be known about the end of a file without decoding it.
 * @throws MeshError `image.truncated`
 */
export async function checkEnd(file: FileHandle, fileBytes: number, format: ImageFormat): Promise<void> {
  if (await endsFully(file, fileBytes, format)) return;
  throw imageError('image.truncated', `the file ends before its ${format} image does`);
}

async function endsFully(file: FileHandle, size: number, format: ImageFormat): Promise<boolean> {
  switch (format) {
    case 'webp':
      return (await exactly(file, 4, 4)).readUInt32LE(0) + 8 <= size;
    case 'png':
      return (await tailOf(file, size)).startsWith('IEND') || hasPngEnd(file, size);
    case 'jpeg':
      return (
        (await tailOf(file, size)).endsWith('\xff\xd9') || hasEndOfImage(file, await checkJpegFrame(file))
      );
    case 'tiff':
      // `checkSegmentsInside` has compared the places of its pixels with the size of the file.
      return true;
  }
}

async function tailOf(file: FileHandle, size: number): Promise<string> {
  return (await exactly(file, size - 8, 8)).toString('latin1');
}

/** A PNG may be followed by other data, so its chunks are followed to the last one. */
async function hasPngEnd(file: FileHandle, size: number): Promise<boolean> {
  for (let at = 8; at + 12 <= size;) {
    const head = await exactly(file, at, 8);
    if (head.toString('latin1', 4, 8) === 'IEND') return true;
    at += head.readUInt32BE(0) + 12;
  }
  return false;
}
