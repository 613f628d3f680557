/** The state file of a fleet: the next `seq` of each device and its unacknowledged readings. */
import type { Reading } from '@thermomesh/contracts';
import { codeOf, makeDurableFolder, syncFolder } from '@thermomesh/runtime';
import { open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { thermostatError } from '../core/errors.ts';

const format = 'thermomesh.fleet.v1';

/** A reading in the file; those of earlier versions name no incarnation. */
export type KeptReading = Omit<Reading, 'incarnation'> & { incarnation?: number };

/** The state of one device. */
export interface DeviceMemory {
  /** Which life of the device this is; 0 if absent. */
  incarnation?: number;
  /** The lowest number that has certainly not been used. */
  nextSeq: number;
  /** Unacknowledged readings, oldest first. */
  kept: KeptReading[];
}

/** The state of each device, by its id. */
export type FleetMemory = Record<string, DeviceMemory>;

/**
 * Reads the file; returns an empty state if there is no file.
 * @throws MeshError `fleet.state_damaged`: with a guessed state a device would use a seq twice
 */
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
    for (const [id, { incarnation = 0, nextSeq, kept }] of Object.entries(state.devices)) {
      if (!Number.isSafeInteger(incarnation) || !Number.isSafeInteger(nextSeq) || !Array.isArray(kept))
        throw new Error(`device ${id} is not readable`);
    }
    return state.devices;
  } catch (error) {
    throw thermostatError(
      'fleet.state_damaged',
      `${file} is damaged; start a new fleet with another --prefix and --state`,
      {
        cause: error,
      },
    );
  }
}

/**
 * Replaces the file atomically. Resolves when it is on disk; a kill at any moment leaves the old or
 * the new file.
 */
export async function saveFleetMemory(file: string, devices: FleetMemory): Promise<void> {
  const temporary = `${file}.new`;
  makeDurableFolder(path.dirname(file));
  await writeThrough(temporary, JSON.stringify({ format, devices }));
  await rename(temporary, file);
  syncFolder(path.dirname(file));
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
