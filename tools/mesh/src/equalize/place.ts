/** Where image jobs are taken, and as whom. */
import { existsSync, readFileSync } from 'node:fs';
import { createEqualizerClient, type EqualizerClient } from '@thermomesh/equalizer-client';
import { deriveToken, MeshError, subjects } from '@thermomesh/runtime';
import { openMesh, type Mesh } from '../client/mesh.ts';
import type { MeshConfig } from '../config.ts';

export interface JobPlace {
  /** Any of them serves any call; the first one is asked first. */
  urls: string[];
  /** An API key with the scope `images`, or the operator's token. */
  apiKey: string;
}

export interface JobPlaceOptions {
  name: string;
  url?: string | undefined;
  /** The key itself, or `@file` that holds it: a word of the command line is seen by everybody on the machine. */
  key?: string | undefined;
}

/**
 * The place that was named, else the running mesh: its gateway, and behind it the nodes themselves.
 * @throws MeshError `usage`, `mesh.unknown`, `mesh.not_up`, `equalizer.absent`
 */
export function findJobPlace(config: MeshConfig, { name, url, key }: JobPlaceOptions): JobPlace {
  if (url === undefined) return jobPlaceOf(openMesh(config, name), readKey(key));
  if (!URL.canParse(url) || !/^https?:/.test(url))
    throw new MeshError('usage', `--url "${url}" must be an http:// or https:// address`);
  const { origin } = new URL(url);
  return { urls: [origin], apiKey: readKey(key) ?? operatorToken(openMesh(config, name)) };
}

/** @throws MeshError `mesh.not_up`, `equalizer.absent` */
export function jobPlaceOf(mesh: Mesh, key?: string): JobPlace {
  const run = mesh.run();
  if (run === undefined || run.state === 'stopped')
    throw new MeshError('mesh.not_up', `the mesh "${mesh.name}" is not up: "mesh up" starts it`);
  if (!hasEqualizer(mesh))
    throw new MeshError(
      'equalizer.absent',
      `the mesh "${mesh.name}" runs no equalizer: it was started without images or coordination, or ZooKeeper or Kafka could not be had; ${mesh.layout.logFile('events')} says why`,
    );
  return { urls: [run.httpUrl, ...equalizerUrls(mesh)], apiKey: key ?? operatorToken(mesh) };
}

/** Whether images can be handed in; the nodes themselves need not be in reach, the gateway is. */
export function hasEqualizer(mesh: Mesh): boolean {
  return (mesh.run()?.processes ?? []).some(({ role }) => role === 'equalizer');
}

/** Addresses of the mesh's equalizer nodes, as far as they are in reach. */
export function equalizerUrls(mesh: Mesh): string[] {
  return (mesh.run()?.processes ?? [])
    .filter(({ role }) => role === 'equalizer')
    .flatMap(({ url }) => url ?? []);
}

/** A client of that place. */
export function clientOf(place: JobPlace, deadlineMs?: number): EqualizerClient {
  return createEqualizerClient({ ...place, ...(deadlineMs === undefined ? {} : { deadlineMs }) });
}

function operatorToken(mesh: Mesh): string {
  return deriveToken(mesh.secret, subjects.operator);
}

function readKey(key: string | undefined): string | undefined {
  if (key?.startsWith('@') !== true) return key;
  const file = key.slice(1);
  if (!existsSync(file)) throw new MeshError('usage', `--key names the file ${file}, which is not there`);
  return readFileSync(file, 'utf8').trim();
}
