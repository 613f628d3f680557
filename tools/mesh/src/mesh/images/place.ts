/** The place that accepts image jobs, and the caller's key. */
import { existsSync, readFileSync } from 'node:fs';
import { createEqualizerClient, type EqualizerClient } from '@thermomesh/equalizer-client';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { meshError } from '../../errors.ts';
import { openMesh, type Mesh, type MeshContext } from '../mesh.ts';

export interface JobPlace {
  /** Addresses that serve any call; the first one is tried first. */
  urls: string[];
  /** An API key with the scope `images`, or the operator's token. */
  apiKey: string;
}

export interface JobPlaceOptions {
  name: string;
  url?: string | undefined;
  /** The key, or `@file` with the key in it: every user of the machine can see the command line. */
  key?: string | undefined;
}

/**
 * The named place, else the running mesh: its gateway, and after it the nodes themselves.
 * @throws MeshError `usage`, `mesh.unknown`, `mesh.not_up`, `equalizer.absent`
 */
export function findJobPlace(context: MeshContext, { name, url, key }: JobPlaceOptions): JobPlace {
  if (url === undefined) return jobPlaceOf(openMesh(context, name), readKey(key));
  if (!URL.canParse(url) || !/^https?:/.test(url))
    throw meshError('usage', `--url "${url}" must be an http:// or https:// address`);
  const { origin } = new URL(url);
  return { urls: [origin], apiKey: readKey(key) ?? operatorToken(openMesh(context, name)) };
}

/**
 * The place of a running mesh.
 * @throws MeshError `mesh.not_up`, `equalizer.absent`
 */
export function jobPlaceOf(mesh: Mesh, key?: string): JobPlace {
  const run = mesh.run();
  if (run === undefined || run.state === 'stopped')
    throw meshError('mesh.not_up', `the mesh "${mesh.name}" is not up: "mesh up" starts it`);
  if (!hasEqualizer(mesh))
    throw meshError(
      'equalizer.absent',
      `the mesh "${mesh.name}" runs no equalizer: it was started without images or coordination, or ZooKeeper or Kafka is not available; see ${mesh.layout.logFile('events')}`,
    );
  return { urls: [run.httpUrl, ...equalizerUrls(mesh)], apiKey: key ?? operatorToken(mesh) };
}

/** True if the mesh accepts images. The nodes need not be reachable, because the gateway is. */
export function hasEqualizer(mesh: Mesh): boolean {
  return (mesh.run()?.processes ?? []).some(({ role }) => role === 'equalizer');
}

/** Addresses of the mesh's equalizer nodes that are reachable. */
export function equalizerUrls(mesh: Mesh): string[] {
  return (mesh.run()?.processes ?? [])
    .filter(({ role }) => role === 'equalizer')
    .flatMap(({ url }) => url ?? []);
}

/** Creates a client of the place. */
export function clientOf(place: JobPlace, deadlineMs?: number): EqualizerClient {
  return createEqualizerClient({ ...place, ...(deadlineMs === undefined ? {} : { deadlineMs }) });
}

function operatorToken(mesh: Mesh): string {
  return deriveToken(mesh.secret, subjects.operator);
}

function readKey(key: string | undefined): string | undefined {
  if (key?.startsWith('@') !== true) return key;
  const file = key.slice(1);
  if (!existsSync(file)) throw meshError('usage', `--key names the file ${file}, which does not exist`);
  return readFileSync(file, 'utf8').trim();
}
