/** Parts of schemas that several documents share. */
import Type from 'typebox';

/** The schema, or null. */
export const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** A whole number from 0. */
export const Count = Type.Integer({ minimum: 0 });
