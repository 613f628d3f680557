/**
 * Times of answers: version 1 has Unix milliseconds in fields that end in `Ms`. The same time as
 * RFC 3339 stands beside each, unless the caller asks for milliseconds alone (ADR 0022).
 */
import { Nullable } from '@thermomesh/contracts';
import Type, { type TSchema } from 'typebox';

/** The query parameter by which a caller chooses. */
export const TimeQuery = {
  time: Type.Optional(
    Type.Union([Type.Literal('rfc3339'), Type.Literal('unix-ms')], {
      description:
        '`rfc3339` (default): RFC 3339 (`measuredAt`) beside Unix ms (`measuredAtMs`). `unix-ms`: Unix ms alone.',
    }),
  ),
};

/** How an answer shows times. */
export type TimeForm = 'rfc3339' | 'unix-ms' | undefined;

const isTime = (name: string) => name.endsWith('AtMs') || name === 'startMs';
const textName = (name: string) => name.slice(0, -'Ms'.length);

/** The answer in the form that the caller has chosen. */
export function withTimes<T>(answer: T, form: TimeForm): T {
  return form === 'unix-ms' ? answer : (added(answer) as T);
}

function added(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(added);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, each]: [string, unknown]) =>
      isTime(name)
        ? [
            [textName(name), typeof each === 'number' ? new Date(each).toISOString() : null],
            [name, each],
          ]
        : [[name, added(each)]],
    ),
  );
}

interface Parts {
  properties?: Record<string, TSchema>;
  items?: TSchema;
  anyOf?: TSchema[];
}

/** The schema of an answer, with a text beside each time. */
export function Timed<T extends TSchema>(schema: T): T {
  const { properties, items, anyOf } = schema as Parts;
  const changed: Parts = {
    ...(properties === undefined
      ? {}
      : {
          properties: Object.fromEntries(
            Object.entries(properties).flatMap(([name, each]) =>
              isTime(name)
                ? [
                    [textName(name), text],
                    [name, each],
                  ]
                : [[name, Timed(each)]],
            ),
          ),
        }),
    ...(items === undefined ? {} : { items: Timed(items) }),
    ...(anyOf === undefined ? {} : { anyOf: anyOf.map((each) => Timed(each)) }),
  };
  return { ...schema, ...changed };
}

const text = Nullable(Type.String({ format: 'date-time' }));
