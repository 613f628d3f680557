/** Reads the data for `mesh zk create` and `set`. */
import { createReadStream } from 'node:fs';
import { messageOf } from '@thermomesh/runtime';
import { defaultZooKeeperLimits } from '@thermomesh/zookeeper';
import { meshError } from '../errors.ts';

export interface ContentFlags {
  file?: string;
}

/**
 * Reading stops here: it is more than any node may hold, even as hexadecimal digits with blanks.
 */
const contentBytesMax = 4 * defaultZooKeeperLimits.dataBytesMax;

/**
 * The data from the command line, a file or stdin; empty if there is none of them.
 * @throws MeshError `usage`, `zookeeper.too_large`
 */
export async function readContent(data: string | undefined, { file }: ContentFlags): Promise<Buffer> {
  if (file === undefined) return Buffer.from(data ?? '');
  if (data !== undefined)
    throw meshError('usage', 'the data are given twice: on the command line and by --file');
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of file === '-' ? process.stdin : createReadStream(file)) {
      chunks.push(chunk as Buffer);
      bytes += (chunk as Buffer).length;
      if (bytes > contentBytesMax) break;
    }
  } catch (error) {
    throw meshError('usage', `--file: ${messageOf(error)}`, { cause: error });
  }
  if (bytes > contentBytesMax) {
    const limitKb = defaultZooKeeperLimits.dataBytesMax / 1024;
    throw meshError('zookeeper.too_large', `--file contains more than the ${limitKb} KiB of a node`);
  }
  return Buffer.concat(chunks);
}
