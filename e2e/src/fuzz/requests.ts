/**
 * Requests that no careful caller sends: valid ones with one part or several replaced by something
 * hostile.
 */
import fc from 'fast-check';
import type { JsonSchema, Operation } from './openapi.ts';

export interface FuzzRequest {
  method: string;
  /** Path and query, as they go onto the wire. */
  target: string;
  headers: Record<string, string>;
  body: Buffer | undefined;
}

/** Texts that have broken parsers, databases and file systems. */
const hostileTexts = [
  ...[
    '',
    ' ',
    '\0',
    'a\0b',
    '\u202e',
    '\ud800',
    'ﷺ'.repeat(50),
    '💥',
    'null',
    'undefined',
    'NaN',
    '[object Object]',
  ],
  ...['-1', '0', '1.5', '1e300', '-0', '9007199254740993', '99999999999999999999', '0x10', '1e', 'Infinity'],
  ...['2026-02-30', '2026', '1 Jan', '2026-05-31T23:30:00', '+275760-09-13T00:00:00.001Z', '0000-00-00'],
  ...['../../etc/passwd', '..%2f..', '%00', '%', '%zz', '%c0%af', '/', '//', '.', '..', '#', '?', '&', ';'],
  ...[
    "' OR 1=1 --",
    '"; DROP TABLE readings; --',
    '$(id)',
    '{{7*7}}',
    '<script>',
    '__proto__',
    'constructor',
  ],
  ...['a'.repeat(300), 'a'.repeat(5_000), Buffer.from('["\\u0000"]').toString('base64url')],
  ...[Buffer.from('[1e300,1.5]').toString('base64url'), Buffer.from('["d",0.5]').toString('base64url')],
];

/** JSON that is no JSON, or more than the schema expects. */
const hostileBodies = [
  ...[
    '',
    '{',
    '[]',
    'null',
    '0',
    '"text"',
    '{}',
    '{"a":1,"a":2}',
    '{"__proto__":{"x":1}}',
    '{"payer":"\\ud800"}',
  ],
  ...[
    '{"amountMinor":1e400}',
    '{"amountMinor":-0}',
    '{"currency":"\\u0000"}',
    '\ufeff{}',
    '{"a":'.repeat(2_000),
  ],
  `${'['.repeat(5_000)}${']'.repeat(5_000)}`,
  JSON.stringify({ payer: 'x'.repeat(70_000) }),
];

const hostileHeaders: Record<string, string[]> = {
  'content-type': [
    '',
    'text/plain',
    'application/json; charset=utf-7',
    'multipart/form-data',
    'a/b/c',
    '*/*',
  ],
  'idempotency-key': ['', ' ', 'x'.repeat(500), '"', 'ÿ', '../..', '00000000-0000-0000-0000-000000000000'],
  'last-event-id': ['', '-1', '1e300', 'x', '9'.repeat(40)],
  authorization: [
    '',
    'Bearer',
    'Bearer ',
    'bearer x',
    'Basic eDp5',
    `Bearer ${'x'.repeat(5_000)}`,
    'Bearer ÿ',
  ],
  accept: ['', 'text/event-stream', 'image/png', ';;;'],
  'accept-encoding': ['gzip', 'br;q=0'],
  range: ['bytes=0-', 'bytes=9-1', 'lines=1'],
  'if-none-match': ['"', '*'],
};

/** @param bearer a token that the service accepts */
export function requestsTo(operation: Operation, bearer: string): fc.Arbitrary<FuzzRequest> {
  const parameters = fc.tuple(
    ...operation.parameters.map(({ name, in: place, required, schema }) =>
      fc.record({
        name: fc.constant(name),
        place: fc.constant(place),
        value: fc.option(textOf(name, schema), { nil: undefined, freq: required ? 20 : 2 }),
      }),
    ),
  );
  const extraQuery = fc.option(fc.tuple(fc.constantFrom('limit', 'x', '__proto__', 'cursor'), hostile()), {
    nil: undefined,
    freq: 4,
  });
  return fc
    .record({
      parameters,
      extraQuery,
      headers: someHeaders(),
      body: bodyOf(operation),
      known: fc.nat(19),
      idempotencyKey: fc.uuid(),
    })
    .map(({ parameters: values, extraQuery: extra, headers, body, known, idempotencyKey }) => {
      let path = operation.path;
      const query = new URLSearchParams();
      const own: Record<string, string> = known === 0 ? {} : { authorization: `Bearer ${bearer}` };
      for (const { name, place, value } of values) {
        if (place === 'path') path = path.replace(`{${name}}`, encode(value ?? ''));
        else if (value !== undefined && place === 'query') query.append(name, value.toWellFormed());
        else if (value !== undefined && place === 'header') own[name.toLowerCase()] = headerText(value);
      }
      if (extra !== undefined) query.append(extra[0], extra[1].toWellFormed());
      if (body !== undefined) own['content-type'] = body.type;
      if (operation.method === 'POST') own['idempotency-key'] ??= idempotencyKey;
      const search = query.size === 0 ? '' : `?${query.toString()}`;
      return {
        method: operation.method,
        target: path + search,
        headers: { ...own, ...headers },
        body: body?.bytes,
      };
    });
}

/** A value of the schema as text, or a hostile one. */
function textOf(name: string, schema: JsonSchema): fc.Arbitrary<string> {
  if (/cursor/i.test(name)) return fc.oneof(forgedCursors, hostile());
  if (/^idempotency-key$/i.test(name)) return fc.oneof({ weight: 4, arbitrary: fc.uuid() }, hostile());
  return fc.oneof(
    {
      weight: 3,
      arbitrary: valueOf(schema).map((value) => (typeof value === 'string' ? value : JSON.stringify(value))),
    },
    { weight: 2, arbitrary: hostile() },
  );
}

function hostile(): fc.Arbitrary<string> {
  return fc.oneof(
    fc.constantFrom(...hostileTexts),
    fc.string({ unit: 'binary', maxLength: 40 }),
    forgedCursors,
  );
}

/** Cursors are base64url of a JSON array: these decode, and hold what no page ended with. */
const forgedCursors = fc
  .array(
    fc.constantFrom<unknown>(
      '\0',
      'd1',
      '',
      '\ud800',
      'x'.repeat(100),
      0,
      0.5,
      -1,
      1e300,
      2 ** 53,
      1767268800000,
      null,
      {},
    ),
    { minLength: 1, maxLength: 3 },
  )
  .map((fields) => Buffer.from(JSON.stringify(fields)).toString('base64url'));

function someHeaders(): fc.Arbitrary<Record<string, string>> {
  const one = fc
    .constantFrom(...Object.keys(hostileHeaders))
    .chain((name) => fc.tuple(fc.constant(name), fc.constantFrom(...(hostileHeaders[name] ?? ['']))));
  return fc
    .oneof(
      { weight: 3, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: fc.array(one, { maxLength: 2 }) },
    )
    .map((pairs) => Object.fromEntries(pairs.map(([name, value]) => [name, headerText(value)])));
}

function bodyOf({ body, method }: Operation): fc.Arbitrary<{ type: string; bytes: Buffer } | undefined> {
  const type = body?.type ?? 'application/json';
  const wrap = (bytes: Buffer) => ({ type, bytes });
  const texts = fc.constantFrom(...hostileBodies).map((text) => wrap(Buffer.from(text)));
  const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => wrap(Buffer.from(array)));
  if (body === undefined) {
    const none = { weight: 9, arbitrary: fc.constant(undefined) };
    return ['GET', 'HEAD'].includes(method)
      ? none.arbitrary
      : fc.oneof(none, { weight: 1, arbitrary: texts });
  }
  const valid = mutated(valueOf(body.schema)).map((value) => wrap(Buffer.from(JSON.stringify(value) ?? '')));
  return fc.oneof(
    { weight: 5, arbitrary: valid },
    { weight: 2, arbitrary: texts },
    { weight: 1, arbitrary: bytes },
  );
}

/** A value with one of its fields replaced, removed or added, or as it is. */
function mutated(value: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc
    .tuple(value, fc.nat(5), fc.nat(20), fc.oneof(hostile(), fc.jsonValue()))
    .map(([whole, kind, at, other]) => {
      if (typeof whole !== 'object' || whole === null) return whole;
      const names = Object.keys(whole);
      const name = names[at % Math.max(1, names.length)] ?? 'x';
      const fields = whole as Record<string, unknown>;
      if (kind === 0) return { ...fields, [name]: other };
      if (kind === 1) return Object.fromEntries(Object.entries(fields).filter(([each]) => each !== name));
      if (kind === 2) return { ...fields, extra: other };
      return whole;
    });
}

/** Any value that the schema allows, as far as the schema's keywords are known here. */
function valueOf(schema: JsonSchema): fc.Arbitrary<unknown> {
  if ('const' in schema) return fc.constant(schema.const);
  if (schema.enum !== undefined && schema.enum.length > 0) return fc.constantFrom(...schema.enum);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined && choices.length > 0) return fc.oneof(...choices.map(valueOf));
  const [type] = Array.isArray(schema.type) ? schema.type : [schema.type];
  switch (type) {
    case 'integer':
      return fc.integer({
        min: Math.max(schema.minimum ?? -5, -1e9),
        max: Math.min(schema.maximum ?? 1e9, 1e9),
      });
    case 'number':
      return fc.double({ noNaN: true });
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case 'array':
      return fc.array(valueOf(schema.items ?? {}), { maxLength: 4 });
    case 'object':
      return fc.record(
        Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, of]) => [name, valueOf(of)])),
        { requiredKeys: schema.required ?? [] },
      );
    case 'string':
      return fc.oneof(
        fc.string({
          minLength: Math.min(schema.minLength ?? 0, 50),
          maxLength: Math.min(schema.maxLength ?? 40, 50),
        }),
        fc.uuid(),
        fc.constantFrom('EUR', 'EUR', 'p1', 'tok_visa', 'd1', '2026-01-01T12:00:00Z', '1767268800000'),
      );
    default:
      return fc.jsonValue();
  }
}

/** Percent-encoded, save for what is broken on purpose. */
function encode(value: string): string {
  if (/^[\x21-\x7e]*$/.test(value) && /[%/.]/.test(value)) return value;
  return encodeURIComponent(value.toWellFormed());
}

/** What Node lets into a header: the rest would fail before it is sent. */
function headerText(value: string): string {
  return value.replace(/[^\t\x20-\x7e\x80-\xff]/g, '?');
}
