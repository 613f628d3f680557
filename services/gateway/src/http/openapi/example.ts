/** Examples of values that a schema allows, with realistic values for the fields that are known. */

/** The keywords of JSON Schema that the examples follow. */
export interface ExampleSchema {
  type?: string | string[];
  const?: unknown;
  enum?: unknown[];
  default?: unknown;
  example?: unknown;
  examples?: unknown[];
  anyOf?: ExampleSchema[];
  oneOf?: ExampleSchema[];
  properties?: Record<string, ExampleSchema>;
  items?: ExampleSchema;
  minimum?: number;
  pattern?: string;
  format?: string;
}

const job = '0b8f2c1e-1111-4222-8333-444455556666';
const checkout = '7d0c5a52-9a5e-4d0e-8a0b-6f3f6b1f2a11';

/** Values by the name of their field. */
const known: Readonly<Record<string, unknown>> = {
  amountMinor: 1250,
  celsius: 21.5,
  celsiusAvg: 21.4,
  celsiusMax: 22.5,
  celsiusMin: 20.5,
  checkoutId: checkout,
  code: 'devices.unknown',
  createdAt: '2026-01-01T12:00:00.000Z',
  currency: 'EUR',
  detail: 'celsius must be a number',
  deviceId: 'thermostat-1',
  fileName: 'dim.png',
  finalAt: '2026-01-01T12:00:01.000Z',
  firstReceivedAtMs: 1767268800000,
  from: '2026-01-01T00:00:00Z',
  heating: true,
  humidityPercent: 41,
  id: job,
  incarnation: 0,
  lastReceivedAtMs: 1767268860000,
  log: '5f0e8a0b-6f3f-4b1f-8a11-7d0c5a529a5e',
  measuredAt: '2026-01-01T12:00:00Z',
  measuredAtMs: 1767268800000,
  next: null,
  openedAtMs: 1767268800000,
  payer: 'p1',
  paymentToken: 'tok_visa',
  rawBase64: 'eyJzZXEiOjF9',
  rawBytes: 9,
  rawSha256: 'ab5df625bc76dbd4e163bed2dd888df828f90159bb93556525c31821b6541d46',
  reason: 'missing_celsius',
  receivedAtMs: 1767268800120,
  reference: 'order-17',
  result: `/v1/jobs/${job}/result`,
  seq: 17,
  setpointCelsius: 22,
  startMs: 1767268800000,
  statusUrl: `/v1/checkouts/${checkout}`,
  submittedAt: '2026-01-01T12:00:00.000Z',
  to: '2026-01-02T00:00:00Z',
  transactionId: 'b6f3f6b1-f2a1-4d0e-8a0b-9a5e7d0c5a52',
};

/**
 * A value that the schema allows.
 * @param name the field or parameter that has the value
 */
export function exampleOf(schema: ExampleSchema, name = ''): unknown {
  if (schema.example !== undefined) return schema.example;
  if (schema.examples?.[0] !== undefined) return schema.examples[0];
  if ('const' in schema) return schema.const;
  if (Object.hasOwn(known, name) && allows(schema, known[name])) return known[name];
  if (schema.default !== undefined) return schema.default;
  if (schema.enum?.[0] !== undefined) return schema.enum[0];
  const [choice] = schema.anyOf ?? schema.oneOf ?? [];
  return choice === undefined ? byType(schema) : exampleOf(choice, name);
}

function byType(schema: ExampleSchema): unknown {
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  switch (type) {
    case 'object':
      return Object.fromEntries(
        Object.entries(schema.properties ?? {}).map(([name, of]) => [name, exampleOf(of, name)]),
      );
    case 'array':
      return schema.items === undefined ? [] : [exampleOf(schema.items)];
    case 'integer':
    case 'number':
      return schema.minimum ?? 1;
    case 'boolean':
      return false;
    case 'null':
      return null;
    default:
      return textFor(schema);
  }
}

/** Texts for the patterns of ids and keys; the first that the pattern allows. */
const texts = ['text', job, 'thermostat-1', '17', 'EUR', 'ab5df625bc76'];

function textFor({ pattern, format }: ExampleSchema): string {
  if (format === 'date-time') return '2026-01-01T12:00:00Z';
  if (format === 'uuid') return job;
  if (pattern === undefined) return 'text';
  const regExp = new RegExp(pattern, 'u');
  return texts.find((text) => regExp.test(text)) ?? '';
}

function allows(schema: ExampleSchema, value: unknown): boolean {
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return choices.some((each) => allows(each, value));
  if ('const' in schema) return schema.const === value;
  if (schema.enum !== undefined && !schema.enum.includes(value)) return false;
  const types = Array.isArray(schema.type) ? schema.type : [schema.type];
  if (typeof value === 'number' && schema.minimum !== undefined && value < schema.minimum) return false;
  if (
    typeof value === 'string' &&
    schema.pattern !== undefined &&
    !new RegExp(schema.pattern, 'u').test(value)
  )
    return false;
  return types.some(
    (type) =>
      type === undefined || type === typeOf(value) || (type === 'number' && typeof value === 'number'),
  );
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return Number.isInteger(value) ? 'integer' : typeof value;
}
