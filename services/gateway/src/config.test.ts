import assert from 'node:assert/strict';
import { it } from 'node:test';
import { readGatewayConfig, settingsOf } from './config.ts';

const good = { MESH_SECRET: 'x'.repeat(32), DATA_DIR: '/nowhere' };

it('only the secret and the folder are required', () => {
  const config = readGatewayConfig(good);
  assert.deepEqual(
    [config.MQTT_PORT, config.COMMIT_LINGER_MS, config.DRAIN_WINDOW_MESSAGES],
    [1883, 2, 8000],
  );
  assert.equal(config.ALLOW_ANONYMOUS, false);
});

it('all issues are reported at once, also those between settings', () => {
  assert.throws(
    () => readGatewayConfig({ MESH_SECRET: 'short', MQTT_PORT: '70000' }),
    (error: Error) => {
      for (const part of ['MESH_SECRET', 'DATA_DIR', 'MQTT_PORT']) assert.ok(error.message.includes(part));
      return true;
    },
  );
  const related = { ...good, BUFFER_BYTES_MAX: '65536', PUBLISH_BYTES_MAX: '65536', CRASH_POINT: 'nowhere' };
  assert.throws(
    () => readGatewayConfig(related),
    (error: Error) => {
      for (const part of ['2 × PUBLISH_BYTES_MAX', 'DRAIN_WINDOW_BYTES', 'CRASH_POINT'])
        assert.ok(error.message.includes(part));
      return true;
    },
  );
  assert.throws(
    () => readGatewayConfig({ ...good, DRAIN_WINDOW_MESSAGES: '65535' }),
    /DRAIN_WINDOW_MESSAGES/,
  );
});

const on = {
  DATABASE_URL: 'postgresql://127.0.0.1/x',
  REDIS_URL: 'redis://127.0.0.1:1',
  BILLING_URLS: 'http://127.0.0.1:1,http://127.0.0.1:2',
  CHECKOUT_SECRET: 'c'.repeat(32),
};

it('the checkout is on or off; a missing one of its four settings is named', () => {
  assert.equal(settingsOf(readGatewayConfig(good)).checkout, undefined);
  assert.equal(settingsOf(readGatewayConfig({ ...good, ...on })).checkout?.queue.name, 'checkouts');
  for (const name of Object.keys(on))
    assert.throws(
      () => readGatewayConfig({ ...good, ...on, [name]: '' }),
      (error: Error) => error.message.includes(`${name} missing`),
    );
});

it('the limits of the checkout must fit each other and the shutdown', () => {
  const bad = {
    ...good,
    ...on,
    CHECKOUT_SECRET: good.MESH_SECRET,
    CHECKOUT_TRY_TIMEOUT_MS: '20000',
    CHECKOUT_CALL_TIMEOUT_MS: '20000',
    CHECKOUT_STREAMS_PER_CALLER_MAX: '1000',
    CHECKOUT_BACKOFF_FIRST_MS: '6000',
  };
  assert.throws(
    () => readGatewayConfig(bad),
    /TRY_TIMEOUT_MS[^]*STREAMS_MAX[^]*STOP_TIMEOUT_MS[^]*CHECKOUT_REQUEUE_MS[^]*CHECKOUT_BACKOFF_MAX_MS[^]*must differ/,
  );
  assert.doesNotThrow(() => readGatewayConfig({ ...good, CHECKOUT_CALL_TIMEOUT_MS: '20000' }));
});

it('image jobs are off without an equalizer, and their time limits must fit', () => {
  assert.equal(settingsOf(readGatewayConfig(good)).imageJobs, undefined);
  for (const where of [{ EQUALIZER_URLS: 'http://a:1,https://b:2' }, { ZOOKEEPER_HOSTS: 'a:2181' }])
    assert.ok(settingsOf(readGatewayConfig({ ...good, ...where })).imageJobs);
  assert.throws(() => readGatewayConfig({ ...good, EQUALIZER_URLS: 'http://a:1/path' }), /EQUALIZER_URLS/);
  const bad = { EQUALIZER_TRY_TIMEOUT_MS: '60000', EQUALIZER_UPLOAD_TIMEOUT_MS: '30000' };
  assert.throws(
    () => readGatewayConfig({ ...good, ...bad }),
    /TRY_TIMEOUT_MS[^]*ANSWER_TIMEOUT_MS[^]*SILENCE_TIMEOUT_MS/,
  );
});
