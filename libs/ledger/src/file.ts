/** The one place of this package that touches the disk. */
import { closeSync, createReadStream, mkdirSync, openSync, writeSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { LedgerError } from './errors.ts';
import { ackedLine, endLine, headerLine, poisonLine, resentLine, sentLine } from './lines.ts';
import { createLedgerParser, type Ledger } from './parse.ts';
import type { LedgerEnd, LedgerHeader, PoisonLine, SentLine } from './types.ts';

/** A write is made at the latest when this much waits. */
const bufferCharsMax = 64 * 1024;
const readBytes = 1024 * 1024;
export const ledgerExtension = '.ledger';

/**
 * Writes a ledger. Nothing is asynchronous: `flush` returns when the operating system has the lines, and only then may the
 * publishes that they announce leave (I1's evidence: never a publish without a sent line).
 */
export interface LedgerWriter {
  readonly file: string;
  readonly counts: Readonly<Omit<LedgerEnd, 'interrupted'>>;
  sent(line: SentLine): void;
  poisoned(line: PoisonLine): void;
  /** @param atUs microseconds since the run's start */
  acked(device: number, number: number, atUs: number): void;
  resent(device: number, number: number, atUs: number): void;
  /** @throws LedgerError `ledger.unwritable` */
  flush(): void;
  /** Writes the end line, flushes and closes. */
  close(interrupted: boolean): void;
}

/**
 * Creates the ledger and its folder.
 * @throws LedgerError `ledger.exists` if the file is there already: a run has one ledger, `ledger.unwritable`
 */
export function openLedger(file: string, header: LedgerHeader): LedgerWriter {
  const fd = create(file);
  const counts = { sent: 0, acked: 0, poisoned: 0, resent: 0 };
  let waiting = headerLine(header);
  function flush(): void {
    if (waiting === '') return;
    const bytes = Buffer.from(waiting, 'utf8');
    waiting = '';
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
    } catch (error) {
      throw new LedgerError('ledger.unwritable', `cannot write ${file}`, error);
    }
  }
  function add(line: string): void {
    waiting += line;
    if (waiting.length >= bufferCharsMax) flush();
  }
  flush();
  return {
    file,
    counts,
    flush,
    sent(line) {
      counts.sent++;
      add(sentLine(line));
    },
    poisoned(line) {
      counts.sent++;
      counts.poisoned++;
      add(poisonLine(line));
    },
    acked(device, number, atUs) {
      counts.acked++;
      add(ackedLine(device, number, atUs));
    },
    resent(device, number, atUs) {
      counts.resent++;
      add(resentLine(device, number, atUs));
    },
    close(interrupted) {
      add(endLine({ ...counts, interrupted }));
      flush();
      closeSync(fd);
    },
  };
}

function create(file: string): number {
  try {
    mkdirSync(path.dirname(file), { recursive: true });
    return openSync(file, 'ax', 0o644);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
      throw new LedgerError('ledger.exists', `${file} exists; give another run id`, error);
    }
    throw new LedgerError('ledger.unwritable', `cannot create ${file}`, error);
  }
}

/** Reads one ledger. @throws LedgerError `ledger.damaged` that names the line; errors of the file system as they are */
export async function readLedger(file: string): Promise<Ledger> {
  const parser = createLedgerParser(file);
  for await (const chunk of createReadStream(file, { highWaterMark: readBytes }))
    parser.feed(chunk as Buffer);
  return parser.finish();
}

/** Paths of the ledgers in a folder, sorted by name; none if there is no such folder. */
export async function listLedgers(folder: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const ledgers = names.filter((name) => name.endsWith(ledgerExtension)).sort();
  return ledgers.map((name) => path.join(folder, name));
}
