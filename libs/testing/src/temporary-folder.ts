/** Temporary folders for tests. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Makes an empty folder that is removed with all its files when the handle is disposed. */
export async function temporaryFolder(name: string): Promise<{ folder: string } & AsyncDisposable> {
  const folder = await mkdtemp(path.join(tmpdir(), `thermomesh-${name}-`));
  return { folder, [Symbol.asyncDispose]: async () => rm(folder, { recursive: true, force: true }) };
}
