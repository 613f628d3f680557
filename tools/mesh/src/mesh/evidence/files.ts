/**
 * What callers of a mesh have seen, kept for `mesh verify` in files of JSON lines in the folder of
 * the mesh.
 */
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { keepWithin } from '@thermomesh/ledger';
import { meshError } from '../../errors.ts';
import type { Mesh } from '../mesh.ts';

/** `orders`: customers of the checkout; `jobs`: callers of the equalizer. */
export type EvidenceKind = 'orders' | 'jobs';

export interface EvidenceWriter {
  /**
   * Appends one line, which a kill -9 of this process cannot take back. Above the maximum size
   * nothing more is kept: evidence may claim less, never more.
   */
  note(line: object): void;
  close(): void;
}

const extension = '.ndjson';

/** Begins a file. Older files of the kind are removed if all together are too large. */
export function openEvidence(mesh: Mesh, kind: EvidenceKind, header: object): EvidenceWriter {
  const { layout, config } = mesh;
  mkdirSync(layout.evidenceDir, { recursive: true });
  keepWithin(layout.evidenceDir, config.evidenceBytesMax, (name) => isOf(kind, name));
  const file = path.join(layout.evidenceDir, `${kind}-${Date.now()}-${process.pid}${extension}`);
  const fd = openSync(file, 'a', 0o600);
  let left = config.evidenceBytesMax;
  const note = (line: object) => {
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
    left -= bytes.length;
    if (left >= 0) writeSync(fd, bytes);
  };
  note(header);
  return { note, close: () => closeSync(fd) };
}

/**
 * Every file of the kind, oldest first, each as its lines. A half-written last line is left out.
 * @throws MeshError `evidence.damaged`
 */
export function readEvidence(mesh: Mesh, kind: EvidenceKind): Record<string, unknown>[][] {
  const { evidenceDir } = mesh.layout;
  if (!existsSync(evidenceDir)) return [];
  const names = readdirSync(evidenceDir).filter((name) => isOf(kind, name));
  return names.sort().map((name) => parseLines(name, readFileSync(path.join(evidenceDir, name), 'utf8')));
}

function parseLines(name: string, text: string): Record<string, unknown>[] {
  // What follows the last line end is torn.
  const lines = text.split('\n').slice(0, -1);
  return lines.map((line, index) => {
    try {
      const entry: unknown = JSON.parse(line);
      if (typeof entry === 'object' && entry !== null) return entry as Record<string, unknown>;
      throw new TypeError('it is no object');
    } catch (cause) {
      throw meshError('evidence.damaged', `${name}, line ${index + 1} is not a JSON object`, { cause });
    }
  });
}

function isOf(kind: EvidenceKind, name: string): boolean {
  return name.startsWith(`${kind}-`) && name.endsWith(extension);
}
