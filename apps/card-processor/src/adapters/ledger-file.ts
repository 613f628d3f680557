/**
 * The ledger on disk: one line per entry, `<crc32 of the JSON, 8 hex digits> <JSON>\n`. An entry is
 * appended and fdatasynced before its caller gets an answer. A last line that a crash has torn is
 * cut off; a damaged line anywhere else is an error.
 */
import { open, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { syncFolder } from '@thermomesh/runtime';
import { processorError } from '../core/errors.ts';

/** An open ledger file. */
export interface LedgerFile<E> {
  /** The entries that were in the file at the start. */
  readonly entries: readonly E[];
  /** Number of bytes of a torn last line that were cut off at the start. */
  readonly tornBytes: number;
  /** Resolves when the entry is durable; entries of many callers share one fdatasync. */
  append(entry: E): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens the file, or creates it, and reads its entries.
 * @throws MeshError `ledger.corrupt` if a line before the last one is damaged
 */
export async function openLedgerFile<E>(file: string): Promise<LedgerFile<E>> {
  const handle = await open(file, 'a+', 0o600);
  // The file is on the disk, but its name only after this; a start may have died in between.
  syncFolder(path.dirname(file));
  const bytes = await handle.readFile();
  const { entries, goodBytes } = parse<E>(bytes, file);
  const tornBytes = bytes.length - goodBytes;
  if (tornBytes > 0) {
    await handle.truncate(goodBytes);
    await handle.datasync();
  }
  const writer = new GroupWriter(handle);
  return {
    entries,
    tornBytes,
    append: (entry) => writer.append(lineOf(entry)),
    close: () => writer.close(),
  };
}

function lineOf(entry: unknown): string {
  const json = JSON.stringify(entry);
  return `${checksum(json)} ${json}\n`;
}

function checksum(json: string): string {
  return crc32(json).toString(16).padStart(8, '0');
}

function parse<E>(bytes: Buffer, file: string): { entries: E[]; goodBytes: number } {
  const entries: E[] = [];
  let goodBytes = 0;
  for (;;) {
    const end = bytes.indexOf(0x0a, goodBytes);
    if (end < 0) return { entries, goodBytes };
    const line = bytes.toString('utf8', goodBytes, end);
    const json = line.slice(9);
    if (line.slice(0, 9) !== `${checksum(json)} `) {
      // The blocks of one write may reach the disk in any order, so only a line that nothing
      // follows can be a torn write.
      if (bytes.indexOf(0x0a, end + 1) < 0) return { entries, goodBytes };
      throw processorError(
        'ledger.corrupt',
        `${file}: entry ${entries.length + 1} does not match its checksum`,
      );
    }
    entries.push(JSON.parse(json) as E);
    goodBytes = end + 1;
  }
}

/** Writes all lines that gathered during the former write, with one fdatasync. */
class GroupWriter {
  readonly #handle: FileHandle;
  #waiting: { line: string; resolve: () => void; reject: (reason: unknown) => void }[] = [];
  #writing: Promise<void> | undefined;
  #failed: unknown;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async append(line: string): Promise<void> {
    // After a failed write the content of the file is unknown. The process must be started again,
    // so that it reads the file.
    if (this.#failed !== undefined)
      throw processorError('ledger.failed', 'an earlier write of the ledger has failed', {
        cause: this.#failed,
      });
    return new Promise((resolve, reject) => {
      this.#waiting.push({ line, resolve, reject });
      this.#writing ??= this.#write();
    });
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#handle.close();
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting;
      this.#waiting = [];
      try {
        await this.#handle.appendFile(group.map(({ line }) => line).join(''));
        await this.#handle.datasync();
        for (const { resolve } of group) resolve();
      } catch (error) {
        this.#failed = error;
        for (const { reject } of [...group, ...this.#waiting]) reject(error);
        this.#waiting = [];
      }
    }
    this.#writing = undefined;
  }
}
