/** Reads the table of statements of MQTT 3.1.1 in the README of the gateway. */
import { readTestNames, type TestName } from '../test-names.ts';

const duties = ['client', 'server', 'both'];
const withoutTest = /^(client|not applicable: \S.*)$/;

export interface TableContext {
  /** The numbers of the standard, in its order. */
  statements: readonly string[];
  /** Every tracked file. */
  files: readonly string[];
  /** Returns the text of one file. */
  read: (file: string) => string;
}

/**
 * One line for each fault: a statement that the table does not have once and in its place, a duty
 * that is unknown, and evidence that names no test of the file before it. Only a duty of the client
 * may have the evidence "client".
 */
export function faultsInTable(markdown: string, { statements, files, read }: TableContext): string[] {
  const rows = rowsOf(markdown);
  const listed = rows.map(({ statement }) => statement);
  const misplaced = statements.filter((statement, index) => listed[index] !== statement);
  return [
    ...(misplaced.length > 0 ? [`the table lacks or misplaces ${misplaced[0]}`] : []),
    ...listed.slice(statements.length).map((statement) => `${statement} is one row too many`),
    ...rows.flatMap(({ statement, duty, evidence }) => {
      if (!duties.includes(duty)) return [`${statement}: "${duty}" is no duty`];
      if (evidence === 'client' && duty !== 'client') return [`${statement}: the duty is not the client's`];
      if (withoutTest.test(evidence)) return [];
      return faultsOfEvidence(evidence, files, read).map((fault) => `${statement}: ${fault}`);
    }),
  ];
}

interface Row {
  statement: string;
  duty: string;
  evidence: string;
}

function rowsOf(markdown: string): Row[] {
  return markdown
    .split('\n')
    .map((line) => /^\| \[(MQTT-[\d.]+-\d+)\] \|.*?\| (\w+) \| (.*) \|$/.exec(line))
    .filter((match) => match !== null)
    .map(([, statement = '', duty = '', evidence = '']) => ({ statement, duty, evidence }));
}

/** The evidence is a list of files, each with the names of its tests, all in backquotes. */
function faultsOfEvidence(evidence: string, files: readonly string[], read: TableContext['read']): string[] {
  const quoted = [...evidence.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text);
  let names: TestName[] | undefined;
  let count = 0;
  const faults = quoted.flatMap((text) => {
    if (text.endsWith('.ts')) {
      const file = files.find((one) => one === text || one === `${adapters}/${text}`);
      names = file === undefined ? [] : readTestNames([file], read);
      return file === undefined ? [`there is no file "${text}"`] : [];
    }
    count += 1;
    return names?.some((name) => isName(text, name)) === true ? [] : [`no test is named "${text}"`];
  });
  return count === 0 ? [...faults, 'it names no test'] : faults;
}

/** Files without a folder of the repository are below this one. */
const adapters = 'services/gateway/src/broker/adapters';

/** True if the text is the whole name; where the name has a value, any text fits. */
function isName(text: string, name: TestName): boolean {
  const [first = '', ...others] = name;
  if (others.length === 0) return text === first;
  let rest = text;
  for (const part of name) {
    const at = rest.indexOf(part);
    if (at < 0) return false;
    rest = rest.slice(at + part.length);
  }
  return text.startsWith(first) && text.endsWith(others.at(-1) ?? '');
}
