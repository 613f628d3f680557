/**
 * A probe for I4 and I5: an image of random pixels goes through the mesh, and its result is
 * compared with that of a single process.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import type { ImageJob } from '@thermomesh/contracts';
import type { Mesh } from '../mesh/mesh.ts';
import { clientOf, jobPlaceOf } from '../mesh/images/place.ts';
import { runEqualizerProgram } from '../mesh/images/programs.ts';

/** How the probe ended. */
export type Probe =
  | { kind: 'compared'; job: ImageJob; identical: boolean }
  /** Accepted, but without a result: its final state, or undefined if it is not over. */
  | { kind: 'no_result'; id: string; job: ImageJob | undefined };

/** Enough pixels for several chunks of a local mesh. */
const sidePixels = 900;
/** Grey levels are drawn from a part of the range, so that there is something to equalize. */
const levelsMax = 100;
const fields = { mode: 'grey', definition: 'opencv' };

/**
 * Runs the probe.
 * @throws MeshError if the image is not accepted, or the single process fails: nothing was judged
 */
export async function probeImage(mesh: Mesh, timeoutMs: number): Promise<Probe> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'thermomesh-probe-'));
  const at = (name: string) => path.join(folder, name);
  try {
    await writeFile(at('probe.png'), greyPng(sidePixels, randomBytes(sidePixels * sidePixels)));
    const words = ['--mode', fields.mode, '--definition', fields.definition];
    await runEqualizerProgram(mesh.config, 'reference', [at('probe.png'), at('expected.png'), ...words]);
    const client = clientOf(jobPlaceOf(mesh), timeoutMs);
    const { id } = await client.submit({ file: at('probe.png'), fields });
    const job = await client.finished(id, AbortSignal.timeout(timeoutMs)).catch(() => undefined);
    if (job?.phase !== 'finished') return { kind: 'no_result', id, job };
    await client.download(id, at('result.png'));
    const [result, expected] = await Promise.all([readFile(at('result.png')), readFile(at('expected.png'))]);
    return { kind: 'compared', job, identical: result.equals(expected) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** An 8-bit grey PNG; each byte of `noise` gives one pixel. */
export function greyPng(side: number, noise: Uint8Array): Buffer {
  const rows = Buffer.alloc(side * (side + 1));
  for (let y = 0; y < side; y += 1)
    for (let x = 0; x < side; x += 1)
      rows[y * (side + 1) + 1 + x] = 60 + ((noise[y * side + x] ?? 0) % levelsMax);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  // Bit depth 8, colour type grey.
  header[8] = 8;
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const chunks = [chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))];
  return Buffer.concat([signature, ...chunks]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const size = Buffer.alloc(4);
  size.writeUInt32BE(data.length);
  const check = Buffer.alloc(4);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([size, body, check]);
}
