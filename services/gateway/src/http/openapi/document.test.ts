import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { CheckoutRequest, type BrokerDocument } from '@thermomesh/contracts';
import type { OpenApiDocument, OpenApiMedia } from '@thermomesh/contracts/openapi';
import {
  createGatekeeper,
  createHealth,
  createLog,
  createMetrics,
  deriveToken,
  subjects,
  type HttpApp,
} from '@thermomesh/runtime';
import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { createGatewayApp } from '../app.ts';
import { operationsOf } from './document.ts';
import { exampleOf } from './example.ts';

const secret = 'a secret of at least thirty-two characters';
const registered = new Set<string>();
let app: HttpApp;
let document: OpenApiDocument;

before(async () => {
  const options = {
    log: createLog('test', 'silent'),
    health: createHealth(),
    metrics: createMetrics({ defaults: false }),
    gatekeeper: createGatekeeper(secret, undefined),
    onRoute: ({ method, url }: { method: string | string[]; url: string }) => {
      for (const each of [method].flat())
        if (each !== 'HEAD' && each !== 'OPTIONS')
          registered.add(`${each} ${url.replaceAll(/:([A-Za-z]+)/g, '{$1}')}`);
    },
  };
  app = await createGatewayApp(options, {
    describeBroker: () => ({}) as BrokerDocument,
    mqttPort: () => 1883,
    checkout: undefined,
    commands: undefined,
    jobs: { forward: () => Promise.reject(new Error('no test asks a node')) },
    readings: undefined,
    limits: { requestsPerMinuteMax: 1_000, addressRequestsPerMinuteMax: 1_000 },
  });
  document = (await app.inject('/openapi.json')).json();
});
after(async () => app.close());

/** Every body of requests and answers, with its place. */
function mediaOf(): { place: string; type: string; media: OpenApiMedia }[] {
  return operationsOf(document).flatMap(({ method, path, operation: { requestBody, responses = {} } }) =>
    [
      ['body', requestBody?.content ?? {}] as const,
      ...Object.entries(responses).map(([status, { content = {} }]) => [status, content] as const),
    ].flatMap(([what, content]) =>
      Object.entries(content).map(([type, media]) => ({ place: `${method} ${path} ${what}`, type, media })),
    ),
  );
}

describe('the OpenAPI document of the gateway’s address', () => {
  it('a validator accepts it as OpenAPI 3.1', async () => {
    const validator = new Validator();
    const result = await validator.validate(structuredClone(document) as unknown as Record<string, unknown>);
    assert.deepEqual(result.valid ? [] : result.errors, []);
    assert.equal(validator.version, '3.1');
  });

  it('it has every route that is registered, and no other', () => {
    const documented = operationsOf(document).map(({ method, path }) => `${method} ${path}`);
    assert.deepEqual(documented.toSorted(), [...registered].toSorted());
    for (const route of ['GET /v1/devices', 'GET /v1/rejected', 'POST /v1/jobs', 'POST /v1/checkouts'])
      assert.ok(documented.includes(route), route);
  });

  it('each operation has a line that says what it does, an id and an answer', () => {
    const ids = new Set<string>();
    for (const { method, path, operation } of operationsOf(document)) {
      const name = `${method} ${path}`;
      assert.match(operation.summary ?? '', /^[A-Z].{8,90}\.$/, `${name} needs a summary: see summaries.ts`);
      assert.ok(
        Object.keys(operation.responses ?? {}).some((status) => status.startsWith('2')),
        name,
      );
      ids.add(operation.operationId ?? '');
    }
    assert.equal(ids.size, operationsOf(document).length);
  });

  it('each operation with a key names its scope and answers 401 and 403', () => {
    for (const { method, path, operation } of operationsOf(document)) {
      if (!path.startsWith('/v1/')) continue;
      const name = `${method} ${path}`;
      assert.match(operation.security?.[0]?.['key']?.join() ?? '', /^[a-z]+$/, name);
      for (const status of ['401', '403']) assert.ok(operation.responses?.[status] !== undefined, name);
    }
  });

  it('each JSON body has an example that its schema allows', () => {
    const shown = mediaOf().filter(({ type }) => type === 'application/json');
    assert.ok(shown.length > 20);
    for (const { place, media } of shown)
      assert.ok(
        Value.Check(media.schema as TSchema, media.example),
        `${place}: ${JSON.stringify(media.example)}`,
      );
  });

  it('each code that it names is a code of the mesh', () => {
    const telemetry = readFileSync(new URL('../../../../../docs/telemetry.md', import.meta.url), 'utf8');
    const codes = mediaOf()
      .filter(({ type }) => type === 'application/problem+json')
      .flatMap(({ media }) => Object.keys(media.examples ?? {}));
    assert.ok(codes.length > 50);
    assert.deepEqual(
      codes.filter((code) => !telemetry.includes(`| \`${code}\` |`)),
      [],
    );
  });

  it('an image job has its form, its events and the types of its result', () => {
    const { requestBody } = document.paths['/v1/jobs']?.['post'] ?? {};
    const form = requestBody?.content['multipart/form-data']?.schema as {
      properties: object;
      required: string[];
    };
    assert.deepEqual(Object.keys(form.properties), [
      'mode',
      'definition',
      'format',
      'page',
      'quality',
      'file',
    ]);
    assert.deepEqual(form.required, ['file']);
    const typesOf = (path: string) =>
      Object.keys(document.paths[path]?.['get']?.responses?.['200']?.content ?? {});
    assert.deepEqual(typesOf('/v1/jobs/{id}/events'), ['text/event-stream']);
    assert.deepEqual(typesOf('/v1/jobs/{id}/result'), [
      'image/jpeg',
      'image/png',
      'image/webp',
      'image/tiff',
    ]);
  });

  it('a body of a content type that is not documented gets 415 and the documented one', async () => {
    const authorization = `Bearer ${deriveToken(secret, subjects.operator)}`;
    const bodies = operationsOf(document).filter(({ operation }) => operation.requestBody !== undefined);
    const refusals: string[] = [];
    for (const { method, path, operation } of bodies) {
      const refused = await app.inject({
        method: method as 'POST',
        url: path.replaceAll(/\{[^}]+\}/g, 'd1'),
        headers: { authorization, 'content-type': 'text/xml', 'idempotency-key': 'k' },
        payload: '<x/>',
      });
      // A part that is off answers 503 first, because no body would help.
      if (refused.statusCode === 503) continue;
      const { code, allowed } = refused.json<{ code: string; allowed: string[] }>();
      assert.deepEqual(
        [refused.statusCode, code, allowed],
        [415, 'http.unsupported_media_type', Object.keys(operation.requestBody?.content ?? {})],
      );
      refusals.push(`${method} ${path}`);
    }
    for (const route of ['POST /v1/jobs', 'POST /v1/devices/{deviceId}/incarnations'])
      assert.ok(refusals.includes(route), route);
  });
});

describe('the page without a path', () => {
  it('a browser gets HTML and a program JSON, with every route and the MQTT port', async () => {
    const page = await app.inject({
      url: '/',
      headers: { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' },
    });
    assert.match(String(page.headers['content-type']), /^text\/html/);
    for (const { path } of operationsOf(document))
      assert.ok(page.body.includes(`<code>${path}</code>`), path);
    assert.match(page.body, /MQTT: port 1883/);
    for (const accept of [undefined, '*/*', 'application/json', 'application/json, text/html;q=0.5']) {
      const answer = await app.inject({ url: '/', headers: accept === undefined ? {} : { accept } });
      const index = answer.json<{
        links: object;
        mqtt: { port: number };
        routes: { path: string; summary: string }[];
      }>();
      assert.deepEqual([index.mqtt.port, index.routes.length], [1883, operationsOf(document).length]);
      assert.ok(index.routes.every(({ summary }) => summary !== ''));
      for (const link of Object.values(index.links) as string[])
        assert.ok([200, 503].includes((await app.inject(link)).statusCode), link);
    }
  });
});

describe('an example', () => {
  it('follows the schema where the name of a field is unknown or does not fit', () => {
    assert.deepEqual(exampleOf(CheckoutRequest), {
      payer: 'p1',
      amountMinor: 1250,
      currency: 'EUR',
      paymentToken: 'tok_visa',
      reference: 'order-17',
    });
    assert.equal(exampleOf({ type: 'integer', minimum: 3 }, 'id'), 3);
    assert.equal(exampleOf({ type: 'string', enum: ['a', 'b'] }, 'reason'), 'a');
    assert.equal(exampleOf({ anyOf: [{ type: 'null' }, { type: 'number' }] }, 'celsius'), 21.5);
    assert.deepEqual(exampleOf({ type: 'array', items: { const: 7 } }), [7]);
    assert.equal(exampleOf({ type: 'string', pattern: '^[A-Z]{3}$' }), 'EUR');
  });
});
