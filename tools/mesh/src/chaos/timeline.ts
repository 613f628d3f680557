/** What a series leaves for its reader: every blow and what the mesh did then, in one file, with the logs and ledgers beside it. */
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
import type { Mesh } from '../client/mesh.ts';

export interface Timeline {
  readonly folder: string;
  /** When it began, in ISO 8601. */
  readonly since: string;
  /** Writes one event down, at once. */
  note: (event: string, detail?: Record<string, unknown>) => void;
  /** Adds what supervisor and nodes have logged meanwhile, in the order of time, and keeps logs and the ledgers of the series. */
  close(ledgers: string[]): void;
}

/** Older folders are removed. */
export const runsKeptMax = 20;

/** Events of the nodes, of both kinds, that tell the story of a series; everything else is in the logs. */
const told =
  /"event":"(coordinator\.|election\.(coordinator|stepped_down|claim_failed|release_failed)|node\.(un)?fit|partition\.|drain\.stale_write_refused|process\.)/;

/** Begins a folder `runs/<time>` of the mesh. */
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
        const picked = lines.filter((line) => name === 'events' || told.test(line));
        entries.push(...picked.map((line) => withSource(line, name)));
      }
      const sorted = entries.filter((line) => line !== '').sort((a, b) => timeOf(a).localeCompare(timeOf(b)));
      writeFileSync(file, sorted.map((line) => `${line}\n`).join(''));
      for (const ledger of ledgers) keep(ledger, path.join(folder, path.basename(ledger)));
      removeOldest(mesh.layout.runsDir);
    },
  };
}

/** JSON lines of a log and of its predecessor that are not older than `since`; others have no time to judge by. */
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
    // The line of a process that was killed while it wrote; the log has it as it is.
    return '';
  }
}

/** The ledger has been written to its end: another name for it costs no space. */
function keep(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    // A file system without hard links.
    copyFileSync(from, to);
  }
}

function removeOldest(runsDir: string): void {
  for (const name of readdirSync(runsDir).sort().slice(0, -runsKeptMax))
    rmSync(path.join(runsDir, name), { recursive: true, force: true });
}
