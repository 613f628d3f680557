/** Names of the tests of this repository, read from their sources without running them. */
import path from 'node:path';
import ts from 'typescript';

/**
 * The fixed parts of a name. Between two parts stands a value that is known only when the test
 * runs; a name without values has one part.
 */
export type TestName = readonly string[];

const testFile = /\.(test|int|e2e)\.ts$|(^|\/)(conformance|testing|hazards)\/[^/]*\.ts$/;
const composeTest = 'scripts/compose-test.mjs';
const callsOfTests = /^(it|test|describe|suite|stage)$/;

/**
 * The names of tests, suites and stages of the containers' test, and the names of stories (files
 * below `testdata/`, without their ending).
 * @param read returns the text of one file
 */
export function readTestNames(files: readonly string[], read: (file: string) => string): TestName[] {
  const stories = files.filter((file) => file.includes('/testdata/')).map((file) => [path.parse(file).name]);
  const sources = files.filter((file) => testFile.test(file) || file === composeTest);
  return [...stories, ...sources.flatMap((file) => namesIn(read(file)))];
}

function namesIn(text: string): TestName[] {
  const source = ts.createSourceFile('test.ts', text, ts.ScriptTarget.Latest, true);
  const names: TestName[] = [];
  const strings: TestName[] = [];
  let hasValues = false;
  const visit = (node: ts.Node): void => {
    if (ts.isStringLiteralLike(node) || ts.isTemplateExpression(node)) strings.push(partsOf(node) ?? []);
    if (ts.isCallExpression(node) && callsOfTests.test(node.expression.getText(source))) {
      const [argument] = node.arguments;
      const name = argument === undefined ? undefined : partsOf(argument);
      if (name !== undefined) names.push(name);
      if (name?.length !== 1) hasValues = true;
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  // Some string of the file is the value in a name.
  return hasValues
    ? [...new Map([...names, ...strings].map((name) => [name.join('…'), name])).values()]
    : names;
}

/** Undefined for a name that is a variable or another expression. */
function partsOf(node: ts.Expression): TestName | undefined {
  if (ts.isStringLiteralLike(node)) return [node.text];
  if (ts.isTemplateExpression(node))
    return [node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)];
  if (!ts.isBinaryExpression(node)) return undefined;
  const [left, right] = [partsOf(node.left), partsOf(node.right)];
  if (left === undefined || right === undefined) return undefined;
  return [...left.slice(0, -1), `${left.at(-1)}${right[0]}`, ...right.slice(1)];
}
