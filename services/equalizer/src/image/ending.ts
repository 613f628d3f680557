/** Whether a file stops before its end: libpng and libwebp do not always say why they gave up. */
import { open } from 'node:fs/promises';
import type { MeshError } from '@thermomesh/runtime';
import { imageFault } from './faults.ts';
import { nameFault } from './library.ts';
import { exactly } from './tiff.ts';

/** As `nameFault`, and a damaged file whose end is missing is called truncated. */
export async function nameFileFault(error: unknown, file: string): Promise<MeshError> {
  const fault = nameFault(error);
  if (fault.code !== 'image.damaged' || !(await endsEarly(file))) return fault;
  return imageFault('image.truncated', 'the file ends too early', fault);
}

async function endsEarly(file: string): Promise<boolean> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    if (size < 16) return true;
    const head = (await exactly(handle, 0, 12)).toString('latin1');
    if (head.startsWith('RIFF')) return Buffer.from(head, 'latin1').readUInt32LE(4) + 8 > size;
    const tail = (await exactly(handle, size - 8, 8)).toString('latin1');
    if (head.startsWith('\x89PNG')) return !tail.startsWith('IEND');
    return head.startsWith('\xff\xd8') && !tail.endsWith('\xff\xd9');
  } finally {
    await handle.close();
  }
}
