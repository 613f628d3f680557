/** Finds programs on the search path. */
import { access, constants } from 'node:fs/promises';
import path from 'node:path';

/**
 * The first executable file with the name `program`; undefined if there is none.
 * @param searchPath as in `PATH`
 */
export async function onPath(program: string, searchPath: string): Promise<string | undefined> {
  const name = process.platform === 'win32' ? `${program}.exe` : program;
  for (const folder of searchPath.split(path.delimiter)) {
    if (folder === '') continue;
    const file = path.join(folder, name);
    const usable = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (usable) return file;
  }
  return undefined;
}
