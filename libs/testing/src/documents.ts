/**
 * Commands in Markdown pages, and the output that the page shows. A comment on the line before a
 * block says what it is:
 *
 * - `<!-- run -->`: a test executes the block.
 * - `<!-- not run: reason -->`: it does not, and why.
 * - `<!-- output -->` or `<!-- output, numbers vary -->`: the block shows what the block before it
 *   prints. `…` stands for any text in a line, a line `…` for any lines.
 */

/** A block of commands. */
export interface CommandBlock {
  /** Line of the opening fence, from 1. */
  line: number;
  text: string;
  /** `run`, the reason why it is not run, or undefined without a mark. */
  mark: { kind: 'run' } | { kind: 'not run'; reason: string } | undefined;
  /** What the page shows as output; undefined if nothing. */
  output: { line: number; text: string; numbersVary: boolean } | undefined;
}

const shellLanguages = ['sh', 'bash', 'shell', 'console'];
/** The beginning of a command in a block that names no language. */
const command = /^(\$ |(npm|npx|node|curl|docker|git|export|mosquitto_\w+|kubectl|mesh) |[A-Z][A-Z_]*=\S* )/;

interface Fence {
  line: number;
  language: string;
  text: string;
  /** The comment on the nearest line above, without its marks. */
  comment: string;
}

/**
 * Finds the command blocks of a page.
 * @throws Error if an output belongs to no block that is run
 */
export function commandBlocks(page: string): CommandBlock[] {
  const blocks: CommandBlock[] = [];
  for (const { line, language, text, comment } of fencesOf(page)) {
    const output = /^output(, numbers vary)?$/.exec(comment);
    if (output !== null) {
      const last = blocks.at(-1);
      if (last?.mark?.kind !== 'run' || last.output !== undefined)
        throw new Error(`line ${line}: the output belongs to no block that is run`);
      last.output = { line, text, numbersVary: output[1] !== undefined };
      continue;
    }
    const reason = /^not run: (\S.*)$/.exec(comment)?.[1];
    const mark =
      comment === 'run'
        ? ({ kind: 'run' } as const)
        : reason === undefined
          ? undefined
          : ({ kind: 'not run', reason } as const);
    const first = text.split('\n').find((each) => each.trim() !== '' && !each.startsWith('#')) ?? '';
    const isShell = shellLanguages.includes(language) || (language === '' && command.test(first));
    if (isShell || mark !== undefined) blocks.push({ line, text, mark, output: undefined });
  }
  return blocks;
}

function fencesOf(page: string): Fence[] {
  const fences: Fence[] = [];
  const lines = page.split('\n');
  let above = '';
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? '';
    const language = /^```(\S*)/.exec(line)?.[1];
    if (language === undefined) {
      if (line.trim() !== '') above = line.trim();
      continue;
    }
    const end = lines.findIndex((each, index) => index > at && /^```\s*$/.test(each));
    const last = end < 0 ? lines.length : end;
    const comment = /^<!-- (.*) -->$/.exec(above)?.[1] ?? '';
    fences.push({ line: at + 1, language, text: lines.slice(at + 1, last).join('\n'), comment });
    above = '';
    at = last;
  }
  return fences;
}

/**
 * Compares what was printed with what the page shows.
 * @returns the first shown line that was not printed, or the first printed line that is not shown;
 *   undefined if they agree
 */
export function outputDifference(
  shown: string,
  printed: string,
  { numbersVary = false } = {},
): string | undefined {
  const expected = linesOf(shown);
  const actual = linesOf(printed);
  let at = 0;
  for (let index = 0; index < expected.length; index++) {
    const line = expected[index] ?? '';
    if (line === '…') {
      const next = expected[index + 1];
      if (next === undefined) return undefined;
      while (at < actual.length && !matches(next, actual[at] ?? '', numbersVary)) at++;
      continue;
    }
    const found = actual[at];
    if (found === undefined) return `shown, not printed: ${line}`;
    if (!matches(line, found, numbersVary)) return `shown: ${line}, printed: ${found}`;
    at++;
  }
  return at < actual.length ? `printed, not shown: ${actual[at]}` : undefined;
}

/** Lines without colours, with widths of columns and frames made equal. */
function linesOf(text: string): string[] {
  return text
    .replace(/\u001b\[[0-9;]*m/g, '')
    .split('\n')
    .map((line) => line.replace(/─+/g, '─').replace(/\s+/g, ' ').trim())
    .filter((line) => line !== '');
}

function matches(shown: string, printed: string, numbersVary: boolean): boolean {
  const escaped = shown.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const pattern = escaped.map((part) =>
    numbersVary ? part.replace(/\d+(\\\.\d+)?/g, '\\d+(\\.\\d+)?') : part,
  );
  return new RegExp(`^${pattern.join('.*')}$`).test(printed);
}

const marker = '@@ block ';

/**
 * One bash script of all blocks of a page that are run. They share variables; the first command
 * that fails ends it.
 */
export function scriptOf(blocks: readonly CommandBlock[], replace: (text: string) => string): string {
  const parts = blocks
    .filter(({ mark }) => mark?.kind === 'run')
    .map(({ line, text }) => `echo '${marker}${line}'\n${replace(text)}`);
  return ['set -euo pipefail', ...parts, `echo '${marker}end'`].join('\n');
}

/** What a page's run has shown to be wrong, one line for each finding. */
export function pageFindings(
  file: string,
  blocks: readonly CommandBlock[],
  run: { stdout: string; stderr: string; code: number | null },
): string[] {
  const printed = new Map<string, string>();
  let last = '';
  for (const part of run.stdout.split(marker).slice(1)) {
    const [line = '', ...rest] = part.split('\n');
    printed.set(line, rest.join('\n'));
    last = line;
  }
  if (run.code !== 0)
    return [
      `${file}:${last} ends with ${run.code}: ${(printed.get(last) ?? '').trim()} ${run.stderr.trim()}`,
    ];
  return blocks.flatMap(({ line, output }) => {
    if (output === undefined) return [];
    const difference = outputDifference(output.text, printed.get(String(line)) ?? '', output);
    return difference === undefined ? [] : [`${file}:${output.line} ${difference}`];
  });
}
