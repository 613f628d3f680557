/**
 * The network links of an engine. An engine that ends does not remove the bridges of the networks
 * that it still has, and one that is killed leaves the cables of its containers too.
 */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const linksFolder = '/sys/class/net';
/** Where the engine notes its networks and endpoints, below its data folder. */
const storeFile = 'data/network/files/local-kv.db';

/**
 * Names every link that the engine with this data folder has ever noted: a bridge per network, and
 * a cable per endpoint. Reads the engine's store as bytes, because the engine may be gone.
 */
export function notedLinks(data: string): string[] {
  const file = path.join(data, storeFile);
  return existsSync(file) ? namesIn(readFileSync(file, 'latin1')) : [];
}

/** @param store the bytes of the engine's store, one per character */
export function namesIn(store: string): string[] {
  const networks = store.matchAll(/docker\/network\/v1\.0\/network\/([0-9a-f]{12})[0-9a-f]{52}/g);
  const cables = store.matchAll(/"SrcName":"(veth[0-9a-f]{7})"/g);
  // The engine names a bridge after the first characters of its network's id.
  const bridges = [...networks].map(([, id]) => `br-${id}`);
  return [...new Set([...bridges, ...[...cables].map(([, name]) => name ?? '')])];
}

/** Those of the links that this machine has, with the links that are plugged into its bridges. */
export function presentLinks(names: readonly string[], folder = linksFolder): string[] {
  const present = names.filter((name) => existsSync(path.join(folder, name)));
  const plugged = present.flatMap((name) => {
    const ports = path.join(folder, name, 'brif');
    return existsSync(ports) ? readdirSync(ports) : [];
  });
  return [...new Set([...plugged, ...present])];
}

/** Removes those of the links that are there. @returns the links that are still there */
export async function removeLinks(names: readonly string[]): Promise<string[]> {
  for (const name of presentLinks(names)) {
    // A cable has two ends, and goes with either.
    if (!existsSync(path.join(linksFolder, name))) continue;
    await run('ip', ['link', 'delete', name]).catch(() => undefined);
  }
  return presentLinks(names);
}
