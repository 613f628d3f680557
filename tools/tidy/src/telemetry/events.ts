/**
 * Finds the log events and the metrics of the code, by its syntax: docs/telemetry.md must list the
 * same.
 */
import ts from 'typescript';

export interface LogEvent {
  /** `noun.past_tense` */
  event: string;
  /** Level names, sorted; several if the call chooses among them. */
  levels: string[];
  /**
   * Names of the fields beside `event`, sorted; `…` stands for fields that an object spreads in.
   */
  fields: string[];
  /** `file:line` of the first call. */
  place: string;
}

export interface Metric {
  name: string;
  type: 'counter' | 'gauge' | 'histogram';
  place: string;
}

/** A call whose event or metric cannot be read from the code: it needs a literal name. */
export interface Unreadable {
  place: string;
  text: string;
}

export interface Telemetry {
  events: LogEvent[];
  metrics: Metric[];
  unreadable: Unreadable[];
}

const levelNames = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];
const metricTypes = ['counter', 'gauge', 'histogram'];

/** Reads one source file. */
export function readTelemetry(file: string, text: string): Telemetry {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const found: Telemetry = { events: [], metrics: [], unreadable: [] };
  const placeOf = (node: ts.Node) =>
    `${file}:${source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1}`;
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node)) {
      const levels = levelsOf(node, source);
      if (levels !== undefined) readLogCall(node, levels, source, placeOf(node), found);
      readMetricCall(node, placeOf(node), found);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** The events of several files under one name each: levels and fields are united. */
export function mergeEvents(events: readonly LogEvent[]): LogEvent[] {
  const merged = new Map<string, LogEvent>();
  for (const each of events) {
    const known = merged.get(each.event);
    merged.set(each.event, {
      event: each.event,
      levels: unite(known?.levels ?? [], each.levels),
      fields: unite(known?.fields ?? [], each.fields),
      place: known?.place ?? each.place,
    });
  }
  return [...merged.values()].sort((a, b) => (a.event < b.event ? -1 : 1));
}

function unite(one: readonly string[], other: readonly string[]): string[] {
  return [...new Set([...one, ...other])].sort();
}

/** The levels at which a call writes to a log; undefined if it is no such call. */
function levelsOf(call: ts.CallExpression, source: ts.SourceFile): string[] | undefined {
  const { expression } = call;
  if (ts.isPropertyAccessExpression(expression)) {
    const { text } = expression.name;
    const receiver = expression.expression.getText(source);
    if (levelNames.includes(text) && /(^|[.#])log$/i.test(receiver)) return [text];
    const printsEvent = text === 'stringify' && receiver === 'JSON' && eventOf(call) !== undefined;
    return printsEvent ? ['info'] : undefined;
  }
  if (ts.isElementAccessExpression(expression) && /(^|[.#])log$/i.test(expression.expression.getText(source)))
    return literalsOf(expression.argumentExpression) ?? ['by cause'];
  return undefined;
}

function readLogCall(
  call: ts.CallExpression,
  levels: string[],
  source: ts.SourceFile,
  place: string,
  found: Telemetry,
): void {
  const [entry] = call.arguments;
  const event = eventOf(call);
  const names = event === undefined ? undefined : literalsOf(event);
  if (names === undefined || entry === undefined || !ts.isObjectLiteralExpression(entry)) {
    found.unreadable.push({ place, text: call.getText(source).slice(0, 80) });
    return;
  }
  const fields = entry.properties
    .filter((property) => property.name?.getText(source) !== 'event')
    .map((property) => property.name?.getText(source) ?? '…');
  for (const name of names)
    found.events.push({ event: name, levels: [...levels].sort(), fields: unite(fields, []), place });
}

/** The value of the property `event` of a call's first argument. */
function eventOf(call: ts.CallExpression): ts.Expression | undefined {
  const [entry] = call.arguments;
  if (entry === undefined || !ts.isObjectLiteralExpression(entry)) return undefined;
  for (const property of entry.properties) {
    if (ts.isPropertyAssignment(property) && ts.isIdentifier(property.name) && property.name.text === 'event')
      return property.initializer;
  }
  return undefined;
}

/** The literals that an expression chooses among; undefined if there is anything else in it. */
function literalsOf(expression: ts.Expression): string[] | undefined {
  if (ts.isStringLiteral(expression)) return [expression.text];
  if (ts.isParenthesizedExpression(expression)) return literalsOf(expression.expression);
  if (!ts.isConditionalExpression(expression)) return undefined;
  const [one, other] = [literalsOf(expression.whenTrue), literalsOf(expression.whenFalse)];
  return one === undefined || other === undefined ? undefined : [...one, ...other];
}

function readMetricCall(call: ts.CallExpression, place: string, found: Telemetry): void {
  const { expression } = call;
  const callee = ts.isPropertyAccessExpression(expression)
    ? expression.name.text
    : ts.isIdentifier(expression)
      ? expression.text
      : '';
  const type = metricTypes.find((known) => known === callee) as Metric['type'] | undefined;
  const [name, help] = call.arguments;
  if (type === undefined || name === undefined || help === undefined) return;
  if (ts.isStringLiteral(name)) found.metrics.push({ name: name.text, type, place });
  else found.unreadable.push({ place, text: call.getText().slice(0, 80) });
}
