/** Restarts held back by name: a file for each process, which outlives whoever asked for it until the next start. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Layout } from './layout.ts';

/** The supervisor does not start `processName` again until {@link releaseRestart}. What runs is not touched. */
export function holdRestart(layout: Layout, processName: string): void {
  mkdirSync(layout.holdsDir, { recursive: true });
  writeFileSync(path.join(layout.holdsDir, processName), '');
}

export function releaseRestart(layout: Layout, processName: string): void {
  rmSync(path.join(layout.holdsDir, processName), { force: true });
}

export function isHeld(layout: Layout, processName: string): boolean {
  return existsSync(path.join(layout.holdsDir, processName));
}

export function releaseAll(layout: Layout): void {
  rmSync(layout.holdsDir, { recursive: true, force: true });
}
