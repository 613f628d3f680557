/**
 * Finds types that files outside `adapters/` import from inside: ports belong in `core/ports.ts`.
 */
import path from 'node:path';
import ts from 'typescript';

/** Files that compose a service may name what they compose; tests may import anything. */
const exempt =
  /(^|\/)(service|compose|main)\.ts$|\.(test|int|e2e)\.ts$|(^|\/)(testing|conformance)(\/|\.ts$)/;

/**
 * One line for each type that a file outside `adapters/` imports from a file inside, such as
 * `a.ts imports the type Queue from ./adapters/queue.ts`.
 * @param read returns the text of one file
 */
export function typesFromAdapters(files: readonly string[], read: (file: string) => string): string[] {
  return files
    .filter((file) => file.endsWith('.ts') && !file.includes('/adapters/') && !exempt.test(file))
    .flatMap((file) =>
      importedTypes(read(file))
        .filter(({ from }) => leadsToAdapter(file, from))
        .map(({ name, from }) => `${file} imports the type ${name} from ${from}`),
    );
}

function leadsToAdapter(file: string, from: string): boolean {
  return from.startsWith('.') && path.posix.join(path.posix.dirname(file), from).includes('/adapters/');
}

interface ImportedType {
  name: string;
  from: string;
}

/** `import type`, `export type … from`, and types written as `import('…').Name`. */
function importedTypes(text: string): ImportedType[] {
  const found: ImportedType[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) found.push(...typesOf(node.moduleSpecifier, node.importClause));
    else if (ts.isExportDeclaration(node)) found.push(...typesOf(node.moduleSpecifier, node));
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      found.push({ name: node.qualifier?.getText() ?? '*', from: textOf(node.argument.literal) });
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('source.ts', text, ts.ScriptTarget.Latest, true));
  return found;
}

function typesOf(
  specifier: ts.Expression | undefined,
  clause: ts.ImportClause | ts.ExportDeclaration | undefined,
): ImportedType[] {
  if (specifier === undefined || clause === undefined) return [];
  const from = textOf(specifier);
  const isType = ts.isImportClause(clause)
    ? clause.phaseModifier === ts.SyntaxKind.TypeKeyword
    : clause.isTypeOnly;
  const bindings = ts.isImportClause(clause) ? clause.namedBindings : clause.exportClause;
  if (bindings === undefined || !('elements' in bindings)) return isType ? [{ name: '*', from }] : [];
  return [...bindings.elements]
    .filter((element) => isType || element.isTypeOnly)
    .map((element) => ({ name: (element.propertyName ?? element.name).text, from }));
}

function textOf(node: ts.Node): string {
  return ts.isStringLiteralLike(node) ? node.text : '';
}
