/** Data of nodes in the formats that people and scripts read and write. Pure. */
import { isUtf8 } from 'node:buffer';
import type { ZkStat } from '@thermomesh/contracts';
import type { Stat } from '@thermomesh/zookeeper';
import { meshError } from '../errors.ts';

export const dataFormats = ['text', 'json', 'hex'] as const;
export type DataFormat = (typeof dataFormats)[number];

/** The data of a node in one format. */
export interface ShownData {
  format: DataFormat;
  data: unknown;
}

/**
 * Shows bytes in `format`; without one as text if they are printable text, else as hexadecimal
 * digits.
 * @throws MeshError `zk.not_text`, `zk.not_json`
 */
export function showData(bytes: Buffer, path: string, format?: DataFormat): ShownData {
  const readable = isUtf8(bytes);
  switch (format ?? (readable && !hasControls(bytes.toString()) ? 'text' : 'hex')) {
    case 'hex':
      return { format: 'hex', data: bytes.toString('hex') };
    case 'text':
      if (!readable) throw meshError('zk.not_text', `${path} does not contain UTF-8: --format hex shows it`);
      return { format: 'text', data: bytes.toString() };
    case 'json':
      return {
        format: 'json',
        data: parseJson(bytes, 'zk.not_json', `${path} does not contain JSON: use --format hex`),
      };
  }
}

/**
 * Parses data of the given format.
 * @throws MeshError `usage` if `content` does not have the format
 */
export function parseData(content: Buffer, format: DataFormat = 'text'): Buffer {
  switch (format) {
    case 'text':
      return content;
    case 'json':
      return Buffer.from(JSON.stringify(parseJson(content, 'usage', 'the data are not JSON')));
    case 'hex': {
      const digits = content.toString().replaceAll(/\s/g, '');
      if (digits.length % 2 !== 0 || /[^0-9a-f]/i.test(digits)) {
        throw meshError('usage', 'the data are not pairs of hexadecimal digits');
      }
      return Buffer.from(digits, 'hex');
    }
  }
}

/** The stat of a node as it is in documents. */
export function showStat(stat: Stat): ZkStat {
  return {
    czxid: String(stat.czxid),
    mzxid: String(stat.mzxid),
    pzxid: String(stat.pzxid),
    createdAt: new Date(stat.createdAtMs).toISOString(),
    modifiedAt: new Date(stat.modifiedAtMs).toISOString(),
    version: stat.version,
    childrenVersion: stat.childrenVersion,
    aclVersion: stat.aclVersion,
    ephemeralOwner: showOwner(stat),
    dataBytes: stat.dataBytes,
    children: stat.children,
  };
}

/**
 * The session that owns a node; null for a persistent node. Container nodes have a negative number
 * there, and no owner.
 */
export function showOwner({ ephemeralOwner }: Stat): string | null {
  return ephemeralOwner <= 0n ? null : String(ephemeralOwner);
}

function parseJson(bytes: Buffer, code: 'zk.not_json' | 'zk.not_text' | 'usage', message: string): unknown {
  try {
    return JSON.parse(bytes.toString()) as unknown;
  } catch (error) {
    throw meshError(code, message, { cause: error });
  }
}

/** Control characters in the data of a node must not reach the terminal. */
function hasControls(text: string): boolean {
  return /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/.test(text);
}
