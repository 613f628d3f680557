/**
 * Holds back restarts: a file for each process, which stays until it is released or the mesh starts
 * again.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Layout } from '../../mesh/files/layout.ts';

/**
 * Keeps the supervisor from starting `processName` again until {@link releaseRestart}. A running
 * process is not touched.
 */
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
