/** Checks of values that come from outside against the schemas of this package. */
import type Type from 'typebox';
import type { Static } from 'typebox';
import Value from 'typebox/value';

/** Any schema of this package. */
export type DocumentSchema = Type.TSchema;
/** The type of what a schema describes. */
export type DocumentOf<S extends DocumentSchema> = Static<S>;

/** What is wrong with `value`, one line a fault, with the place; empty if it fits the schema. */
export function documentFaults(schema: DocumentSchema, value: unknown): string[] {
  return [...Value.Errors(schema, value)].map((fault) => `${fault.instancePath || '/'} ${fault.message}`);
}

/** True if `value` fits the schema. */
export function isDocument<S extends DocumentSchema>(schema: S, value: unknown): value is Static<S> {
  return Value.Check(schema, value);
}
