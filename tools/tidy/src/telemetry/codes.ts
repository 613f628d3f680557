/** Collects the closed lists of error codes: every file `errors.ts` that exports `errorCodes`. */
import path from 'node:path';
import { pathToFileURL } from 'node:url';

export interface ListedCode {
  code: string;
  retriable: 'yes' | 'no' | 'depends';
  /** Folder of the package, such as `libs/kafka`. */
  package: string;
  /** The file with the list. */
  file: string;
}

/** @param files paths relative to `repository` */
export async function readErrorCodes(repository: string, files: readonly string[]): Promise<ListedCode[]> {
  const lists = await Promise.all(
    files
      .filter((file) => /\/src\/(.*\/)?errors\.ts$/.test(file))
      .map(async (file) => {
        const module = (await import(pathToFileURL(path.join(repository, file)).href)) as {
          errorCodes?: Record<string, { retriable: boolean | 'depends' }>;
        };
        const owner = file.split('/').slice(0, 2).join('/');
        return Object.entries(module.errorCodes ?? {}).map(([code, { retriable }]) => ({
          code,
          retriable: retriable === 'depends' ? retriable : retriable ? ('yes' as const) : ('no' as const),
          package: owner,
          file,
        }));
      }),
  );
  return lists.flat();
}
