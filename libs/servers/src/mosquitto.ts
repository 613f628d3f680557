/**
 * Finds `mosquitto_pub` and `mosquitto_sub`, the reference clients: on PATH, or else in Debian's
 * packages, which are unpacked into a folder.
 */
import path from 'node:path';
import { messageOf } from '@thermomesh/runtime';
import { libraryPath, unpackDebian } from './tools/debian.ts';
import { onPath } from './tools/search-path.ts';

/** The clients, and the environment that they need. */
export interface MosquittoClients {
  pub: string;
  sub: string;
  env: Record<string, string>;
  /** Where they come from, for people. */
  origin: string;
}

/** The packages and the libraries that the clients need and a bare system lacks. */
const packages = ['mosquitto-clients', 'libmosquitto1', 'libcjson1'];

/**
 * Finds the clients on the search path, or unpacks them below `toolsDir` (no root, no system
 * service).
 * @param searchPath as in `PATH`
 * @returns the clients, or `{ missing }`: one line that says why they are absent and what to do
 */
export async function findMosquittoClients(
  toolsDir: string,
  searchPath: string,
): Promise<MosquittoClients | { missing: string }> {
  const pub = await onPath('mosquitto_pub', searchPath);
  const sub = await onPath('mosquitto_sub', searchPath);
  if (pub !== undefined && sub !== undefined) return { pub, sub, env: {}, origin: path.dirname(pub) };
  try {
    const folder = await unpackDebian({ toolsDir, name: 'mosquitto-clients', packages });
    return {
      pub: path.join(folder, 'usr', 'bin', 'mosquitto_pub'),
      sub: path.join(folder, 'usr', 'bin', 'mosquitto_sub'),
      env: { LD_LIBRARY_PATH: libraryPath(folder) },
      origin: folder,
    };
  } catch (error) {
    const why = messageOf(error).split('\n')[0];
    return {
      missing: `mosquitto_pub and mosquitto_sub are absent (${why}): install the package "mosquitto-clients"`,
    };
  }
}
