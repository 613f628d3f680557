/** Data of nodes as people and scripts write and read them. Pure. */
import { isUtf8 } from 'node:buffer';
import type { ZkStat } from '@thermomesh/contracts';
import { MeshError } from '@thermomesh/runtime';
import type { Stat } from '@thermomesh/zookeeper';

export const dataFormats = ['text', 'json', 'hex'] as const;
export type DataFormat = (typeof dataFormats)[number];

/** Bytes that can be shown: text, hexadecimal digits, or what the JSON says. */
export interface ShownData {
  format: DataFormat;
  data: unknown;
}

/**
 * Bytes in a format; without one, text if it can be read as such, else hexadecimal digits.
 * @throws MeshError `zk.not_text`, `zk.not_json`
 */
export function showData(bytes: Buffer, path: string, format?: DataFormat): ShownData {
  const readable = isUtf8(bytes);
  switch (format ?? (readable && !hasControls(bytes.toString()) ? 'text' : 'hex')) {
    case 'hex':
      return { format: 'hex', data: bytes.toString('hex') };
    case 'text':
      if (!readable) throw new MeshError('zk.not_text', `${path} holds no UTF-8: --format hex shows it`);
      return { format: 'text', data: bytes.toString() };
    case 'json':
      return { format: 'json', data: parseJson(bytes, 'zk.not_json', `${path} holds no JSON: --format hex`) };
  }
}

/** @throws MeshError `usage` if `content` is not what the format says */
export function parseData(content: Buffer, format: DataFormat = 'text'): Buffer {
  switch (format) {
    case 'text':
      return content;
    case 'json':
      return Buffer.from(JSON.stringify(parseJson(content, 'usage', 'the data are no JSON')));
    case 'hex': {
      const digits = content.toString().replaceAll(/\s/g, '');
      if (digits.length % 2 !== 0 || /[^0-9a-f]/i.test(digits)) {
        throw new MeshError('usage', 'the data are no pairs of hexadecimal digits');
      }
      return Buffer.from(digits, 'hex');
    }
  }
}

/** The stat of a node as documents have it. */
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

/** The session that owns a node; null of a persistent one. Container nodes have a mark of the server's there, and no owner. */
export function showOwner({ ephemeralOwner }: Stat): string | null {
  return ephemeralOwner <= 0n ? null : String(ephemeralOwner);
}

function parseJson(bytes: Buffer, code: string, message: string): unknown {
  try {
    return JSON.parse(bytes.toString()) as unknown;
  } catch (error) {
    throw new MeshError(code, message, { cause: error });
  }
}

/** A terminal must not be told what to do by the data of a node. */
function hasControls(text: string): boolean {
  return /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/.test(text);
}
