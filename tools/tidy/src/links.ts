/** Finds links in Markdown files that lead nowhere. */
import path from 'node:path';

/**
 * One line for each relative link that leads to no tracked file or folder, or to no heading of the
 * file that it names.
 * @param files every tracked file, relative to the repository
 * @param read returns the text of one
 */
export function brokenLinks(files: readonly string[], read: (file: string) => string): string[] {
  const places = new Set(files.flatMap((file) => [file, ...foldersOf(file)]));
  return files
    .filter((file) => file.endsWith('.md'))
    .flatMap((file) =>
      linksOf(read(file)).flatMap(({ line, target }) => {
        const problem = problemOf(file, target, places, read);
        return problem === undefined ? [] : [`${file}:${line} ${target}: ${problem}`];
      }),
    );
}

function problemOf(
  file: string,
  target: string,
  places: ReadonlySet<string>,
  read: (file: string) => string,
): string | undefined {
  const [place = '', heading] = target.split('#');
  const aim = place === '' ? file : path.posix.join(path.posix.dirname(file), place).replace(/\/$/, '');
  if (!places.has(aim)) return 'no such file';
  if (heading === undefined || !aim.endsWith('.md')) return undefined;
  return headingsOf(read(aim)).has(heading) ? undefined : 'no such heading';
}

/** `a/b/c.ts` → ['a', 'a/b'] */
function foldersOf(file: string): string[] {
  const parts = file.split('/');
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('/'));
}

/** Relative links outside code, with their lines; addresses such as https:// are left out. */
function linksOf(markdown: string): { line: number; target: string }[] {
  return proseOf(markdown).flatMap((text, index) =>
    [...text.replaceAll(/`[^`]*`/g, 'code').matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target = '']) => ({ line: index + 1, target }))
      .filter(({ target }) => !/^[a-z]+:/.test(target)),
  );
}

/** Anchors of all headings, as GitHub makes them. */
function headingsOf(markdown: string): Set<string> {
  const headings = proseOf(markdown).filter((text) => /^#+ /.test(text));
  return new Set(
    headings.map((text) =>
      text
        .replace(/^#+ /, '')
        .trim()
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(/\s/g, '-'),
    ),
  );
}

/** The lines of a document; those of code blocks are empty. */
function proseOf(markdown: string): string[] {
  let inCode = false;
  return markdown.split('\n').map((text) => {
    const isFence = /^\s*```/.test(text);
    if (isFence) inCode = !inCode;
    return inCode || isFence ? '' : text;
  });
}
