/** Reads the tables of docs/telemetry.md. */

/** The cells of a row, each as plain text without backticks. */
type Row = readonly string[];

export interface DocumentedEvent {
  event: string;
  levels: string[];
  fields: string[];
  /** What it means, and what an operator does. */
  action: string;
}

export interface DocumentedMetric {
  name: string;
  type: string;
  meaning: string;
}

export interface DocumentedCode {
  code: string;
  /** `yes`, `no` or `depends` */
  retriable: string;
  packages: string[];
}

/** Rows `| event | level | fields | meaning and action |` below the heading "Log events". */
export function readDocumentedEvents(markdown: string): DocumentedEvent[] {
  return rowsBelow(markdown, 'Log events').map(([event = '', levels = '', fields = '', action = '']) => ({
    event,
    levels: listOf(levels),
    fields: listOf(fields),
    action,
  }));
}

/** Rows `| metric | type | meaning |` below the heading "Metrics". */
export function readDocumentedMetrics(markdown: string): DocumentedMetric[] {
  return rowsBelow(markdown, 'Metrics').map(([name = '', type = '', meaning = '']) => ({
    name,
    type,
    meaning,
  }));
}

/** Rows `| code | retriable | package |` below the heading "Error codes". */
export function readDocumentedCodes(markdown: string): DocumentedCode[] {
  return rowsBelow(markdown, 'Error codes').map(([code = '', retriable = '', packages = '']) => ({
    code,
    retriable,
    packages: packages.split(', '),
  }));
}

/**
 * The rows of all tables between `## title` and the next heading of that level, heads of tables
 * left out.
 */
function rowsBelow(markdown: string, title: string): Row[] {
  const [, rest = ''] = markdown.split(`\n## ${title}\n`);
  const [section = ''] = rest.split('\n## ');
  return section
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('`', '')),
    );
}

function listOf(cell: string): string[] {
  return cell
    .split(/[,/]/)
    .map((word) => word.trim())
    .filter((word) => word !== '' && word !== '–');
}
