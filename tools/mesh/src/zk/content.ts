/** Where the data of `mesh zk create` and `set` come from. */
import { createReadStream } from 'node:fs';
import { MeshError, messageOf } from '@thermomesh/runtime';
import { defaultZooKeeperLimits } from '@thermomesh/zookeeper';

export interface ContentFlags {
  file?: string;
}

/** More than any node may hold is not read to its end: hexadecimal digits are two a byte, beside blanks. */
const contentBytesMax = 4 * defaultZooKeeperLimits.dataBytesMax;

/**
 * The words of the command line, a file, or stdin; nothing if neither is named.
 * @throws MeshError `usage`, `zookeeper.too_large`
 */
export async function readContent(data: string | undefined, { file }: ContentFlags): Promise<Buffer> {
  if (file === undefined) return Buffer.from(data ?? '');
  if (data !== undefined) throw new MeshError('usage', 'the data are given twice: as words and by --file');
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of file === '-' ? process.stdin : createReadStream(file)) {
      chunks.push(chunk as Buffer);
      bytes += (chunk as Buffer).length;
      if (bytes > contentBytesMax) break;
    }
  } catch (error) {
    throw new MeshError('usage', `--file: ${messageOf(error)}`, { cause: error });
  }
  if (bytes > contentBytesMax) {
    const limitKb = defaultZooKeeperLimits.dataBytesMax / 1024;
    throw new MeshError('zookeeper.too_large', `--file holds more than the ${limitKb} KiB of a node`);
  }
  return Buffer.concat(chunks);
}
