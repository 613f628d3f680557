/**
 * Checks the parts of a request against their schemas, and says of the first wrong part where it
 * is, what was sent and what is accepted.
 */
import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox';
import type { AllowedValues, ParameterPlace } from '@thermomesh/contracts';
import type { FastifySchema } from 'fastify';
import { Value } from 'typebox/value';
import type { errorCodes } from './errors.ts';
import { redactedFields } from './log.ts';
import { nearestName } from './nearest-name.ts';
import { HttpError } from './problems.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** True if the route takes any query parameter, because another service reads the query. */
    anyQuery?: boolean;
  }
}

/** The keywords of JSON Schema that the schemas of routes use. */
interface Schema {
  type?: string;
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: unknown;
  items?: Schema;
  anyOf?: Schema[];
  enum?: Scalar[];
  const?: Scalar;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  pattern?: string;
}
type Scalar = string | number | boolean | null;

interface Issue {
  code: keyof typeof errorCodes;
  path: string;
  detail: string;
  allowed?: AllowedValues;
}

const places: Record<string, ParameterPlace> = {
  body: 'body',
  querystring: 'query',
  params: 'path',
  headers: 'header',
};

/** Maximum number of issues that one answer lists. */
const issuesMax = 8;
/** Maximum number of values that a sentence lists; `allowed` has all of them. */
const valuesInTextMax = 16;
/** Maximum number of characters of a caller's value that an answer repeats. */
const givenCharsMax = 64;

/**
 * Refuses what no schema names: with a slip in its name, a filter would filter nothing and an
 * option would not be set. Queries of all routes and objects in all bodies become closed, save
 * where a schema says otherwise.
 */
export function refuseUnknownNames(route: { schema?: FastifySchema; config?: { anyQuery?: boolean } }): void {
  const schema: FastifySchema & { hide?: boolean } = route.schema ?? {};
  if (schema.hide === true) return;
  const query = (schema.querystring ?? { type: 'object', properties: {} }) as Schema;
  route.schema = {
    ...schema,
    ...(route.config?.anyQuery === true ? {} : { querystring: closed(query) }),
    ...(schema.body === undefined ? {} : { body: closed(schema.body as Schema) }),
  };
}

/** The schema, with its objects closed to members that it does not name. */
function closed(schema: Schema): Schema {
  const { properties, items, anyOf, additionalProperties } = schema;
  const members = Object.entries(properties ?? {}).map(([name, each]) => [name, closed(each)]);
  const changed: Schema = {
    ...(properties === undefined
      ? {}
      : {
          properties: Object.fromEntries(members) as Record<string, Schema>,
          additionalProperties: additionalProperties ?? false,
        }),
    ...(items === undefined ? {} : { items: closed(items) }),
    ...(anyOf === undefined ? {} : { anyOf: anyOf.map(closed) }),
  };
  // The marks of TypeBox are not enumerable.
  return Object.defineProperties(
    {},
    {
      ...Object.getOwnPropertyDescriptors(schema),
      ...Object.getOwnPropertyDescriptors(changed),
    },
  );
}

/**
 * Validates without the conversions of TypeBox, which read `1.5`, `0x10` and `true` as whole
 * numbers. In a query, a path and a header, only digits become one. A query gets its defaults.
 */
export const compileValidator: typeof TypeBoxValidatorCompiler = (route) => {
  const validate = TypeBoxValidatorCompiler({ ...route, httpPart: 'body' });
  const place = places[route.httpPart ?? 'body'] ?? 'body';
  const schema = route.schema as Schema;
  return (value: unknown) => {
    const converted = place === 'body' ? value : withIntegers(schema, value as Record<string, unknown>);
    const whole: unknown = place === 'query' ? Value.Default(route.schema, converted) : converted;
    const result: unknown = validate(whole);
    const isInvalid = typeof result === 'object' && result !== null && 'error' in result;
    // The framework passes an error on as it is.
    return isInvalid ? { error: refusal(schema, whole, place) } : { value: whole };
  };
};

function withIntegers({ properties = {} }: Schema, values: Record<string, unknown>): Record<string, unknown> {
  const converted = Object.entries(values).map(([name, value]): [string, unknown] => {
    const isInteger = Object.hasOwn(properties, name) && properties[name]?.type === 'integer';
    return isInteger && typeof value === 'string' && /^-?\d{1,16}$/.test(value)
      ? [name, Number(value)]
      : [name, value];
  });
  return Object.fromEntries(converted);
}

function refusal(schema: Schema, value: unknown, place: ParameterPlace): HttpError {
  const issues = issuesOf(schema, value, { path: '', place }).slice(0, issuesMax);
  const [first] = issues;
  if (first === undefined)
    return new HttpError(
      400,
      'http.invalid_parameter' satisfies Issue['code'],
      `the ${place} does not match its schema`,
      { in: place },
    );
  return new HttpError(400, first.code, first.detail, {
    in: place,
    ...(first.path === '' ? {} : { param: first.path }),
    ...(first.allowed === undefined ? {} : { allowed: first.allowed }),
    ...(issues.length === 1 ? {} : { errors: issues.map(({ detail }) => detail) }),
  });
}

interface Spot {
  path: string;
  place: ParameterPlace;
}

/** All issues of a value that does not match the schema; unknown names come first. */
function issuesOf(schema: Schema, value: unknown, spot: Spot): Issue[] {
  const values = valuesOf(schema);
  if (values !== undefined) return values.includes(value as Scalar) ? [] : [wrong(schema, value, spot)];
  if (schema.anyOf !== undefined) {
    const tries = schema.anyOf.map((each) => issuesOf(each, value, spot));
    if (tries.some((each) => each.length === 0)) return [];
    const [only, ...others] = schema.anyOf.filter(({ type }) => type === typeOf(value));
    return only !== undefined && others.length === 0
      ? issuesOf(only, value, spot)
      : [wrong(schema, value, spot)];
  }
  if (schema.type === 'object')
    return typeOf(value) === 'object'
      ? membersOf(schema, value as Record<string, unknown>, spot)
      : [wrong(schema, value, spot)];
  if (schema.type === 'array' && Array.isArray(value)) {
    const isCount = value.length >= (schema.minItems ?? 0) && value.length <= (schema.maxItems ?? Infinity);
    if (!isCount) return [wrong(schema, value, spot)];
    return value.flatMap((item, index) =>
      issuesOf(schema.items ?? {}, item, { ...spot, path: `${spot.path}[${index}]` }),
    );
  }
  return isScalarOf(schema, value) ? [] : [wrong(schema, value, spot)];
}

function membersOf(schema: Schema, value: Record<string, unknown>, { path, place }: Spot): Issue[] {
  const { properties = {}, required = [], additionalProperties } = schema;
  const spotOf = (name: string): Spot => ({
    place,
    path: path === '' ? bounded(name) : `${path}.${bounded(name)}`,
  });
  const unknown = Object.keys(value).filter((name) => !Object.hasOwn(properties, name));
  return [
    ...(additionalProperties === false
      ? unknown.map((name) => unknownName(name, Object.keys(properties), spotOf(name)))
      : []),
    ...required
      .filter((name) => !Object.hasOwn(value, name))
      .map((name) => missing(properties[name] ?? {}, spotOf(name))),
    ...Object.entries(properties).flatMap(([name, each]) =>
      Object.hasOwn(value, name) ? issuesOf(each, value[name], spotOf(name)) : [],
    ),
  ];
}

function unknownName(name: string, known: string[], { path, place }: Spot): Issue {
  const what = place === 'query' ? 'query parameter' : 'field';
  const meant = nearestName(name, known);
  const hint =
    meant !== undefined
      ? `did you mean ${shown(meant)}?`
      : known.length === 0
        ? 'there is none here'
        : `there are ${known.slice(0, valuesInTextMax).join(', ')}`;
  return {
    code: 'http.unknown_parameter',
    path,
    detail: `unknown ${what} ${shown(name)}: ${hint}`,
    allowed: known,
  };
}

function missing(schema: Schema, { path }: Spot): Issue {
  return {
    code: 'http.missing_parameter',
    path,
    detail: `${path} is missing: it must be ${expected(schema)}`,
    ...allowedOf(schema),
  };
}

function wrong(schema: Schema, value: unknown, { path, place }: Spot): Issue {
  const name = path === '' ? `the ${place}` : path;
  const detail =
    place === 'query' && Array.isArray(value)
      ? `${name} is given ${value.length} times: it must be ${expected(schema)}`
      : `${name} must be ${expected(schema)}; got ${given(path, value)}`;
  return { code: 'http.invalid_parameter', path, detail, ...allowedOf(schema) };
}

/** The values of a schema that lists them; undefined if it lists none. */
function valuesOf(schema: Schema): Scalar[] | undefined {
  if (schema.const !== undefined) return [schema.const];
  if (schema.enum !== undefined) return schema.enum;
  if (schema.type === 'boolean') return [true, false];
  if (schema.type === 'null') return [null];
  const each = schema.anyOf?.map(valuesOf);
  return each?.every((values) => values !== undefined) === true ? each.flat() : undefined;
}

function allowedOf(schema: Schema): { allowed?: AllowedValues } {
  const values = valuesOf(schema);
  if (values !== undefined) return { allowed: values };
  // Beside null, one kind of value is left.
  const [only, ...others] = schema.anyOf?.filter(({ type }) => type !== 'null') ?? [schema];
  if (only === undefined || others.length > 0 || only.type === 'object') return {};
  const { minimum, maximum, minLength, maxLength, minItems, maxItems, pattern } = only;
  const bounds = { minimum, maximum, minLength, maxLength, minItems, maxItems, pattern };
  const set = Object.entries(bounds).filter(([, bound]) => bound !== undefined);
  return set.length === 0 ? {} : { allowed: Object.fromEntries(set) };
}

/** What the schema accepts, as the end of the sentence "it must be …". */
function expected(schema: Schema): string {
  const values = valuesOf(schema);
  if (values !== undefined) {
    if (values.length > valuesInTextMax) return `one of the ${values.length} values in "allowed"`;
    const texts = values.map((value) => JSON.stringify(value));
    return texts.length === 1 ? texts.join() : `one of ${texts.join(', ')}`;
  }
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map(expected))].join(' or ');
  const { type, minimum, maximum, minLength, maxLength, minItems, maxItems, pattern } = schema;
  switch (type) {
    case 'integer':
      return `a whole number${range(minimum, maximum)}`;
    case 'number':
      return `a number${range(minimum, maximum)}`;
    case 'string':
      return `text${length(minLength, maxLength, 'characters')}${pattern === undefined ? '' : ` that matches ${pattern}`}`;
    case 'array':
      return `a list${length(minItems, maxItems, 'items')}`;
    case 'object':
      return 'an object';
    default:
      return 'a value of its schema';
  }
}

function range(minimum: number | undefined, maximum: number | undefined): string {
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`;
  if (minimum !== undefined) return ` of at least ${minimum}`;
  return maximum === undefined ? '' : ` of at most ${maximum}`;
}

function length(minimum: number | undefined, maximum: number | undefined, unit: string): string {
  if (minimum !== undefined && maximum !== undefined) return ` of ${minimum} to ${maximum} ${unit}`;
  if (minimum !== undefined) return ` of at least ${minimum} ${unit}`;
  return maximum === undefined ? '' : ` of at most ${maximum} ${unit}`;
}

function isScalarOf(schema: Schema, value: unknown): boolean {
  const { type, minimum = -Infinity, maximum = Infinity, minLength = 0, maxLength = Infinity } = schema;
  switch (type) {
    case undefined:
      return true;
    case 'integer':
    case 'number': {
      const isNumber = type === 'integer' ? Number.isInteger(value) : Number.isFinite(value);
      return isNumber && Number(value) >= minimum && Number(value) <= maximum;
    }
    case 'string': {
      if (typeof value !== 'string') return false;
      const chars = [...value].length;
      const isMatch = schema.pattern === undefined || new RegExp(schema.pattern, 'u').test(value);
      return chars >= minLength && chars <= maxLength && isMatch;
    }
    default:
      return typeOf(value) === type;
  }
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

/** What the caller sent, bounded and escaped; secrets are not repeated. */
function given(path: string, value: unknown): string {
  const name = /[^.[\]]+$/.exec(path.replace(/(\[\d+\])+$/, ''))?.[0]?.toLowerCase() ?? '';
  if (redactedFields.some((field) => field.toLowerCase() === name))
    return 'a value that is not repeated here';
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  return shown(value);
}

/** A scalar of a caller as JSON of bounded length in which every character is visible. */
export function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : String(value);
  const cut = JSON.stringify(text.slice(0, givenCharsMax).toWellFormed());
  const visible = (typeof value === 'string' ? cut : cut.slice(1, -1)).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu,
    (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`,
  );
  return text.length > givenCharsMax ? `${visible}… (${text.length} characters)` : visible;
}

function bounded(name: string): string {
  return name.length <= givenCharsMax && /^[\w.-]+$/.test(name) ? name : shown(name);
}
