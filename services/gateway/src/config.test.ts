import assert from 'node:assert/strict';
import { it } from 'node:test';
import { readGatewayConfig } from './config.ts';

const good = { MESH_SECRET: 'x'.repeat(32), DATA_DIR: '/nowhere' };

it('needs a secret and a folder, the rest has defaults', () => {
  const config = readGatewayConfig(good);
  assert.deepEqual(
    [config.MQTT_PORT, config.COMMIT_LINGER_MS, config.DRAIN_WINDOW_MESSAGES],
    [1883, 2, 8000],
  );
  assert.equal(config.ALLOW_ANONYMOUS, false);
});

it('tells every fault at once, relations among limits too', () => {
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
