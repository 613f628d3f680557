/** Writes and reads ledger files. */
import { closeSync, createReadStream, mkdirSync, openSync, writeSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { LedgerError } from './errors.ts';
import { ackedLine, endLine, headerLine, poisonLine, resentLine, sentLine } from './lines.ts';
import { createLedgerParser, type Ledger } from './parse.ts';
import type { LedgerEnd, LedgerHeader, PoisonLine, SentLine } from './types.ts';

/** Buffered characters at which the writer writes. */
const bufferCharsMax = 64 * 1024;
const readBytes = 1024 * 1024;
export const ledgerExtension = '.ledger';

/**
 * Writes a ledger. Everything is synchronous: `flush` returns when the operating system has the
 * lines. Only then may the announced publishes leave, so that there is never a publish without a
 * sent line (I1's evidence).
 */
export interface LedgerWriter {
  readonly file: string;
  readonly counts: Readonly<Omit<LedgerEnd, 'interrupted'>>;
  /** Size of the file so far, with the lines that are not yet flushed. */
  readonly bytes: number;
  sent(line: SentLine): void;
  poisoned(line: PoisonLine): void;
  /** @param atUs microseconds since the run's start */
  acked(device: number, number: number, atUs: number): void;
  resent(device: number, number: number, atUs: number): void;
  /** @throws LedgerError `ledger.unwritable` */
  flush(): void;
  /** Writes the end line, flushes and closes. */
  close(interrupted: boolean): void;
  /** Closes the file as it is, after a write has failed. */
  abandon(): void;
}

/**
 * Creates the ledger and its folder.
 * @throws LedgerError `ledger.exists` if the file exists already, since a run has one ledger;
 *   `ledger.unwritable`
 */
export function openLedger(file: string, header: LedgerHeader): LedgerWriter {
  const fd = create(file);
  const counts = { sent: 0, acked: 0, poisoned: 0, resent: 0 };
  let waiting = headerLine(header);
  let written = 0;
  function flush(): void {
    if (waiting === '') return;
    const bytes = Buffer.from(waiting, 'utf8');
    waiting = '';
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
      written += bytes.length;
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
    get bytes() {
      return written + waiting.length;
    },
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
    abandon() {
      waiting = '';
      closeSync(fd);
    },
  };
}

function create(file: string): number {
  const folder = path.dirname(file);
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw new LedgerError('ledger.unwritable', `cannot create the folder ${folder}`, error);
  }
  try {
    return openSync(file, 'ax', 0o644);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
      throw new LedgerError('ledger.exists', `${file} exists; give another run id`, error);
    }
    throw new LedgerError('ledger.unwritable', `cannot create ${file}`, error);
  }
}

/**
 * Reads one ledger.
 * @throws LedgerError `ledger.damaged`, which names the line; errors of the file system unchanged
 */
export async function readLedger(file: string): Promise<Ledger> {
  const parser = createLedgerParser(file);
  for await (const chunk of createReadStream(file, { highWaterMark: readBytes }))
    parser.feed(chunk as Buffer);
  return parser.finish();
}

/** Paths of the ledgers in a folder, sorted by name; empty if the folder does not exist. */
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
