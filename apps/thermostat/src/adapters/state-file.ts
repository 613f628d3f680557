/** What a fleet must not forget: the next `seq` of each device and its unacknowledged readings. */
import type { Reading } from '@thermomesh/contracts';
import { codeOf, MeshError } from '@thermomesh/runtime';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';

const format = 'thermomesh.fleet.v1';

export interface DeviceMemory {
  /** The first number that was surely never used. */
  nextSeq: number;
  /** Unacknowledged readings, oldest first. */
  kept: Reading[];
}

export type FleetMemory = Record<string, DeviceMemory>;

/** @returns an empty memory if there is no file. @throws MeshError `fleet.state_damaged`: guessing would use a seq twice */
export async function loadFleetMemory(file: string): Promise<FleetMemory> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return {};
    throw error;
  }
  try {
    const state = JSON.parse(text) as { format?: string; devices?: FleetMemory };
    if (state.format !== format || state.devices === undefined) throw new Error(`not a ${format}`);
    for (const [id, { nextSeq, kept }] of Object.entries(state.devices)) {
      if (!Number.isSafeInteger(nextSeq) || !Array.isArray(kept))
        throw new Error(`device ${id} is not readable`);
    }
    return state.devices;
  } catch (error) {
    throw new MeshError(
      'fleet.state_damaged',
      `${file} cannot be read; a fleet with another --prefix can start afresh`,
      {
        cause: error,
      },
    );
  }
}

/** Replaces the file in one step and returns when it is on disk: a kill at any moment leaves the old one or the new one. */
export async function saveFleetMemory(file: string, devices: FleetMemory): Promise<void> {
  const temporary = `${file}.new`;
  await mkdir(path.dirname(file), { recursive: true });
  await writeThrough(temporary, JSON.stringify({ format, devices }));
  await rename(temporary, file);
  const folder = await open(path.dirname(file), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function writeThrough(file: string, text: string): Promise<void> {
  const handle = await open(file, 'w');
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
