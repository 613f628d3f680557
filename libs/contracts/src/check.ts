/** Checks values that come from outside against the schemas of this package. */
import type Type from 'typebox';
import type { Static } from 'typebox';
import Value from 'typebox/value';

/** Any schema of this package. */
export type DocumentSchema = Type.TSchema;
/** The type that a schema describes. */
export type DocumentOf<S extends DocumentSchema> = Static<S>;

/** Returns the issues of `value`, one line each with its place; empty if it fits the schema. */
export function documentIssues(schema: DocumentSchema, value: unknown): string[] {
  return [...Value.Errors(schema, value)].map((issue) => `${issue.instancePath || '/'} ${issue.message}`);
}

/** Returns whether `value` fits the schema. */
export function isDocument<S extends DocumentSchema>(schema: S, value: unknown): value is Static<S> {
  return Value.Check(schema, value);
}
