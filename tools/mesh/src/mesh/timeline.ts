/**
 * The folder of a series: a timeline with every fault and every reaction of the mesh, and the logs
 * and ledgers beside it.
 */
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import type { Mesh } from './mesh.ts';

export interface Timeline {
  readonly folder: string;
  /** Start of the series in ISO 8601. */
  readonly since: string;
  /** Appends one event at once. */
  note: (event: string, detail?: Record<string, unknown>) => void;
  /**
   * Adds the log events of supervisor and nodes to the timeline, in order of time, and keeps logs
   * and ledgers of the series.
   */
  close(ledgers: string[]): void;
}

/** Number of folders that are kept; older ones are removed. */
export const runsKeptMax = 20;

/**
 * Log events of both kinds of nodes that belong into the timeline; the others are only in the logs.
 */
const timelineEvents =
  /"event":"(coordinator\.|election\.(coordinator|stepped_down|claim_failed|release_failed)|node\.(un)?fit|partition\.|drain\.stale_write_refused|process\.)/;

/** Creates the folder `runs/<time>` of the mesh. */
export function openTimeline(mesh: Mesh, now = new Date()): Timeline {
  const folder = path.join(mesh.layout.runsDir, now.toISOString().replaceAll(':', '-'));
  const file = path.join(folder, 'timeline.ndjson');
  mkdirSync(folder, { recursive: true });
  const since = now.toISOString();
  return {
    folder,
    since,
    note(event, detail = {}) {
      const line = { time: new Date().toISOString(), from: 'chaos', event, ...detail };
      appendFileSync(file, `${JSON.stringify(line)}\n`);
    },
    close(ledgers) {
      const entries = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
      mkdirSync(path.join(folder, 'logs'), { recursive: true });
      for (const name of [...(mesh.run()?.processes ?? []).map((process) => process.name), 'events']) {
        const lines = linesSince(mesh.layout.logFile(name), since);
        writeFileSync(path.join(folder, 'logs', `${name}.log`), lines.map((line) => `${line}\n`).join(''));
        const picked = lines.filter((line) => name === 'events' || timelineEvents.test(line));
        entries.push(...picked.map((line) => withSource(line, name)));
      }
      const sorted = entries.filter((line) => line !== '').sort((a, b) => timeOf(a).localeCompare(timeOf(b)));
      writeFileSync(file, sorted.map((line) => `${line}\n`).join(''));
      for (const ledger of ledgers) keep(ledger, path.join(folder, path.basename(ledger)));
      removeOldest(mesh.layout.runsDir);
    },
  };
}

/**
 * JSON lines of a log and of its predecessor that are not older than `since`; lines without a time
 * are left out.
 */
export function linesSince(logFile: string, since: string): string[] {
  return [`${logFile}.1`, logFile]
    .filter((file) => existsSync(file))
    .flatMap((file) => readFileSync(file, 'utf8').split('\n'))
    .filter((line) => timeOf(line) >= since);
}

function timeOf(line: string): string {
  return /"time":"([^"]+)"/.exec(line)?.[1] ?? '';
}

function withSource(line: string, name: string): string {
  try {
    const entry = JSON.parse(line) as Record<string, unknown>;
    return JSON.stringify({ time: entry['time'], from: name === 'events' ? 'supervisor' : name, ...entry });
  } catch {
    // A process was killed while it wrote this line; the copy of the log keeps it.
    return '';
  }
}

/** Keeps a ledger that is complete; a hard link costs no space. */
function keep(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    // The file system has no hard links.
    copyFileSync(from, to);
  }
}

function removeOldest(runsDir: string): void {
  for (const name of readdirSync(runsDir).sort().slice(0, -runsKeptMax))
    rmSync(path.join(runsDir, name), { recursive: true, force: true });
}
