/** The control groups of an engine. */
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';

const cgroupRoot = '/sys/fs/cgroup';

/**
 * Finds the groups of that name in all hierarchies, with the groups below them, the innermost
 * first. The engine's group is at the top of some hierarchies and below the group of the engine's
 * own process in others. An engine that ends within a build leaves groups within groups.
 */
export function groupsNamed(name: string, root = cgroupRoot): string[] {
  if (!existsSync(root)) return [];
  return subfolders(root).flatMap((group) =>
    path.basename(group) === name ? innermostFirst(group) : groupsNamed(name, group),
  );
}

function innermostFirst(group: string): string[] {
  return [...subfolders(group).flatMap(innermostFirst), group];
}

function subfolders(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => path.join(folder, entry.name));
  } catch (error) {
    // Groups of other programs come and go.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
